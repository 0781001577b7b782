"""Records that the database refuses are set aside; their pages and groups are committed. For every sink."""

import pytest

from agents.ports import RejectedRecord, RowWrite, Sink
from tests.sinks.builders import FENCED, already, close_run, commit, committed, open_lease, page, row, run, write
from tests.sinks.conftest import Database
from topics.errors import Rejected

STORED = "select id, name from book_book_contact order by id"
REJECTED = "select record_key, reason from rejected_records order by record_key"
LONE_SURROGATE = "\ud800"


async def with_unique_names(database: Database) -> None:
    await database.query("create unique index names on book_book_contact (org, name)")


async def test_a_row_that_breaks_a_constraint_of_the_owner_is_set_aside(sink: Sink, database: Database) -> None:
    await with_unique_names(database)
    await write(sink, run(), row("a", "Ann"))
    assert await write(sink, run(), row("b", "Bob"), row("c", "Ann"), number=2) == committed(1, 1)
    assert await database.query(STORED) == [("a", "Ann"), ("b", "Bob")]
    ((key, reason),) = await database.query(REJECTED)
    assert key == "c"
    assert reason.startswith("the database refused it: ")
    assert "unique" in reason.lower()


async def test_rows_that_clash_with_each_other_lose_only_the_later_one_once_beside_what_was_rejected_before(
    sink: Sink, database: Database
) -> None:
    await with_unique_names(database)
    rows, before = (row("a", "Ann"), row("b", "Ann"), row("c", "Cid")), [RejectedRecord("x", "no name", "{}")]
    for outcome in (committed(2, 2), already(2, 2)):
        assert await write(sink, run(), *rows, rejected=before) == outcome
    assert await database.query(STORED) == [("a", "Ann"), ("c", "Cid")]
    assert ("x", "no name") in await database.query(REJECTED)


async def test_in_a_group_only_the_page_with_the_culprit_is_touched(sink: Sink, database: Database) -> None:
    await with_unique_names(database)
    await open_lease(sink, run())
    await close_run(sink, run(1, org="closed"), "done")
    outcomes = await commit(
        sink,
        page(run(), 1, row("a", "Ann")),
        page(run(), 2, row("b", "Ann"), row("c", "Cid")),
        page(run(1, org="closed"), 1, row("d", "Dan")),
        page(run(), 3, row("e", "Eve")),
    )
    assert outcomes == [committed(1), committed(1, 1), FENCED, committed(1)]
    assert await database.query(STORED) == [("a", "Ann"), ("c", "Cid"), ("e", "Eve")]


async def test_text_that_is_no_unicode_is_set_aside_and_shown_escaped(sink: Sink, database: Database) -> None:
    culprit = RowWrite(f"b{LONE_SURROGATE}", (f"x{LONE_SURROGATE}",), f'"{LONE_SURROGATE}"', b"hash", None)
    assert await write(sink, run(), row("a", "Ann"), culprit) == committed(1, 1)
    assert await database.query("select record_key, raw from rejected_records") == [(r"b\ud800", r'"\ud800"')]


async def test_a_page_that_is_refused_whatever_its_rows_says_so(sink: Sink) -> None:
    with pytest.raises(Rejected, match="cannot be stored, though each of its rows can"):
        await write(sink, run(), row("a"), next_cursor=LONE_SURROGATE)


async def test_a_sink_that_was_never_prepared_says_what_to_do(database: Database) -> None:
    with pytest.raises(Rejected, match=r"is not prepared: .*sluice_.* restart"):
        await open_lease(database.open(), run())
