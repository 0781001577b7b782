"""Pages: committed once, fenced, grouped; rows guarded by the source's time. For every sink."""

import pytest

from agents.ports import PAGES_PER_COMMIT_MAX, RejectedRecord, Sink
from tests.sinks.builders import FENCED, TYPED, already, close_run, commit, committed, open_lease, page, row, run, write
from tests.sinks.conftest import Database
from topics.command import RunOutcome
from topics.errors import Broken

STORED = "select id, name from book_book_contact order by id"


async def test_a_page_is_committed_with_its_counts(sink: Sink, database: Database) -> None:
    assert await write(sink, run(), row("a", "Ann"), row("b", "Bob")) == committed(2)
    assert await database.query(STORED) == [("a", "Ann"), ("b", "Bob")]


async def test_a_page_that_is_already_committed_writes_nothing(sink: Sink, database: Database) -> None:
    await write(sink, run(), row("a", "Ann"), row("b"))
    late = [RejectedRecord("x", "late", "{}")]
    assert await write(sink, run(), row("a", "Changed"), rejected=late) == already(2)
    assert await database.query("select count(*) from rejected_records") == [(0,)]
    assert await database.query("select name from book_book_contact where id = 'a'") == [("Ann",)]


async def test_an_empty_page_is_committed_and_no_pages_have_no_outcomes(sink: Sink) -> None:
    assert await write(sink, run()) == committed(0)
    assert await commit(sink) == []


@pytest.mark.parametrize("outcome", ["done", "failed", "cancelled"])
async def test_a_page_of_a_closed_run_is_fenced(sink: Sink, database: Database, outcome: RunOutcome) -> None:
    await open_lease(sink, run())
    await close_run(sink, run(), outcome)
    assert await commit(sink, page(run(), 1, row("a"))) == [FENCED]
    assert await database.query(STORED) == []


async def test_a_page_of_an_unknown_or_superseded_run_is_fenced_even_if_it_was_committed(sink: Sink) -> None:
    assert await commit(sink, page(run(1), 1, row("a"))) == [FENCED]
    await write(sink, run(1), row("a"))
    await open_lease(sink, run(2))
    assert await commit(sink, page(run(1), 1, row("a"))) == [FENCED]


async def test_in_a_group_each_page_has_its_own_outcome(sink: Sink, database: Database) -> None:
    await write(sink, run(1), row("a", "Ann"))
    await close_run(sink, run(1, org="closed"), "done")
    await open_lease(sink, run(1, org="other"))
    outcomes = await commit(
        sink,
        page(run(1), 1, row("a", "Again")),
        page(run(1, org="closed"), 1, row("a", "Fenced")),
        page(run(1), 2, row("b", "Bob")),
        page(run(1, org="other"), 1, row("a", "Cid"), row("b", "Dan")),
    )
    assert outcomes == [already(1), FENCED, committed(1), committed(2)]
    stored = await database.query("select org, id, name from book_book_contact order by org, id")
    assert stored == [("acme", "a", "Ann"), ("acme", "b", "Bob"), ("other", "a", "Cid"), ("other", "b", "Dan")]


async def test_the_same_page_twice_in_a_group_is_committed_once_and_under_two_parents_it_is_two_pages(
    sink: Sink,
) -> None:
    await open_lease(sink, run())
    outcomes = await commit(sink, *(page(run(), 1, row("a"), parent=parent) for parent in "ppq"))
    assert outcomes == [committed(1), already(1), committed(1)]


async def test_more_pages_than_fit_a_group_are_our_own_mistake(sink: Sink) -> None:
    with pytest.raises(Broken, match=f"{PAGES_PER_COMMIT_MAX + 1} pages in one commit"):
        await commit(sink, *(page(run(), number) for number in range(PAGES_PER_COMMIT_MAX + 1)))


async def test_pages_of_two_entities_in_a_group_are_our_own_mistake(sink: Sink) -> None:
    with pytest.raises(Broken, match="several entities"):
        await commit(sink, page(run(), 1), page(run(entity=TYPED), 1, entity=TYPED))


@pytest.mark.parametrize(
    ("stored", "new", "read", "winner"),
    [
        pytest.param(1, 2, 0, "new", id="newer-wins"),
        pytest.param(1, 2, -1, "new", id="newer-wins-though-it-was-read-before"),
        pytest.param(2, 1, 1, "old", id="older-loses-though-it-was-read-later"),
        pytest.param(1, 1, 0, "new", id="same-time-wins"),
        pytest.param(1, 1, -1, "old", id="same-time-read-before-loses"),
        pytest.param(None, None, 0, "new", id="no-times-wins"),
        pytest.param(None, None, -1, "old", id="no-times-read-before-loses"),
        pytest.param(None, 1, 0, "new", id="time-over-no-time"),
        pytest.param(1, None, 0, "new", id="no-time-over-time"),
    ],
)
async def test_of_two_versions_in_a_run_the_newer_is_kept_or_else_the_later_read(
    sink: Sink, database: Database, stored: int | None, new: int | None, read: int, winner: str
) -> None:
    await write(sink, run(), row("a", "old", stored), number=1)
    await write(sink, run(), row("a", "new", new), number=2, read=read)
    assert await database.query(STORED) == [("a", winner)]


@pytest.mark.parametrize(("stored", "new"), [(1, 2), (2, 1), (1, 1), (None, None), (2, None)])
@pytest.mark.parametrize("read", [1, -60], ids=["clock-right", "clock-an-hour-back"])
async def test_a_later_run_replaces_what_an_older_one_has_read_even_if_the_sources_time_went_back(
    sink: Sink, database: Database, stored: int | None, new: int | None, read: int
) -> None:
    await write(sink, run(1), row("a", "old", stored))
    await write(sink, run(2), row("a", "new", new), read=read)
    assert await database.query(STORED) == [("a", "new")]


@pytest.mark.parametrize(
    ("stored", "new", "read", "winner"),
    [
        pytest.param(2, 1, 1, "new", id="a-later-read-of-a-time-that-went-back-wins"),
        pytest.param(None, None, -1, "old", id="a-late-page-that-was-read-before-loses"),
        pytest.param(1, 1, -1, "old", id="a-late-page-of-the-same-time-loses"),
        pytest.param(2, 1, -1, "old", id="a-late-page-of-an-older-time-loses"),
        pytest.param(1, 2, -1, "new", id="a-newer-time-wins-whatever-the-clocks-say"),
    ],
)
async def test_of_runs_of_two_types_the_later_read_is_kept_or_the_newer_time(
    sink: Sink, database: Database, stored: int | None, new: int | None, read: int, winner: str
) -> None:
    await write(sink, run(9, type_="delta"), row("a", "old", stored))
    await write(sink, run(1), row("a", "new", new), read=read)
    assert await database.query(STORED) == [("a", winner)]


@pytest.mark.parametrize("time", [None, 1])
async def test_a_row_with_the_same_content_stays_as_it_is(sink: Sink, database: Database, time: int | None) -> None:
    await write(sink, run(1), row("a", "old", time, "same"))
    await write(sink, run(2), row("a", "new", time, "same"), read=1)
    assert await database.query(STORED) == [("a", "old")]


async def test_an_untouched_row_keeps_its_provenance_and_a_replaced_one_names_its_new_origin(
    sink: Sink, database: Database
) -> None:
    await write(sink, run(1), row("a", "Ann", 1), number=1)
    await write(sink, run(2), row("a", "Ann", 1), number=7)
    assert await database.query("select run_id, page from book_book_contact") == [(run(1).id, 1)]
    await write(sink, run(1, type_="delta"), row("a", "Eve", 2), number=7)
    found = await database.query("select source, run_id, page from book_book_contact")
    assert found == [("delta", run(1, type_="delta").id, 7)]


async def test_of_the_same_key_on_two_pages_of_a_group_the_newer_wins(sink: Sink, database: Database) -> None:
    await open_lease(sink, run())
    await commit(sink, page(run(), 1, row("a", "newer", 9)), page(run(), 2, row("a", "older", 3)))
    assert await database.query(STORED) == [("a", "newer")]


async def test_the_later_row_wins_even_if_it_is_what_is_stored(sink: Sink, database: Database) -> None:
    await write(sink, run(), row("a", "stored"))
    await write(sink, run(), row("a", "passing"), row("a", "stored"), number=2)
    assert await database.query(STORED) == [("a", "stored")]


async def test_rejected_records_are_set_aside_and_counted(sink: Sink, database: Database) -> None:
    rejected = [RejectedRecord("x", "amount: not a number", '{"amount": "many"}')]
    assert await write(sink, run(), row("a"), number=3, parent="p", rejected=rejected) == committed(1, 1)
    found = await database.query(
        "select org, adapter, entity, record_key, run_id, parent, page, reason, raw from rejected_records"
    )
    whose = ("acme", "book", "book.contact", "x", run().id, "p", 3)
    assert found == [(*whose, "amount: not a number", '{"amount": "many"}')]


async def test_of_a_record_rejected_again_the_newest_rejection_is_kept(sink: Sink, database: Database) -> None:
    for number, reasons in enumerate((("first", "second"), ("third",))):
        await write(sink, run(), number=number, rejected=[RejectedRecord("x", reason, "{}") for reason in reasons])
        assert await database.query("select reason from rejected_records") == [(reasons[-1],)]


async def test_records_without_a_key_are_kept_apart_by_their_place(sink: Sink, database: Database) -> None:
    await open_lease(sink, run())
    nameless = [RejectedRecord("", "no key", "1"), RejectedRecord("", "no key", "2")]
    await commit(sink, page(run(), 1, rejected=nameless), page(run(), 2, rejected=nameless))
    assert await database.query("select count(*) from rejected_records") == [(4,)]
