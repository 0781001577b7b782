"""Records that are read twice, and rejected records that are stored again. For every sink."""

import json

import pytest

from agents.ports import PageWrite, RejectedRecord, RowWrite, Sink
from tests.sinks.builders import CHILD, CONTACT, adapter, commit, committed, open_lease, page, row, run, write
from tests.sinks.conftest import Database

STORED = "select id, name from book_book_contact order by id"
REJECTED = "select record_key, run_id, page, reason, raw from rejected_records order by record_key"


async def rejected(database: Database) -> list[str]:
    return [reason for _, _, _, reason, _ in await database.query(REJECTED)]


@pytest.mark.parametrize("time", [None, 1])
@pytest.mark.parametrize("is_together", [True, False])
async def test_a_key_that_is_read_twice_with_other_content_is_reported_with_both_places_and_the_later_is_kept(
    sink: Sink, database: Database, time: int | None, is_together: bool
) -> None:
    await open_lease(sink, run())
    first, second = page(run(), 1, row("a", "1", time), row("b")), page(run(), 7, row("a", "2", time))
    if is_together:
        outcomes = await commit(sink, first, second)
    else:
        outcomes = [*await commit(sink, first), *await commit(sink, second)]
    assert outcomes == [committed(2), committed(0, 1)]
    assert await database.query(STORED) == [("a", "2"), ("b", "Ann")]
    ((key, run_id, number, reason, raw),) = await database.query(REJECTED)
    assert (key, run_id, number, json.loads(raw)) == ("a", run().id, 7, {"id": "a"})
    assert reason.startswith("the key was read twice in one run with different content: on page 1, and on page 7.")
    assert await database.query("select records, rejected from sluice_pages order by page") == [(2, 0), (0, 1)]


async def test_the_version_that_is_not_kept_is_set_aside(sink: Sink, database: Database) -> None:
    await open_lease(sink, run())
    for number, read in ((1, 5), (2, 0), (3, 9)):
        version = RowWrite("a", (str(number),), json.dumps({"page": number}), str(number).encode(), None)
        await commit(sink, page(run(), number, version, read=read))
        ((name,),) = await database.query("select name from book_book_contact")
        lost = [json.loads(raw)["page"] for *_, raw in await database.query(REJECTED)]
        assert (name, lost) == {1: ("1", []), 2: ("1", [2]), 3: ("3", [1])}[number]


async def test_of_a_key_twice_on_one_page_one_is_kept_and_the_other_is_rejected(sink: Sink, database: Database) -> None:
    rows = row("a", "newer", 9), row("a", "older", 3), row("a", "newer", 9), row("b", "1"), row("b", "2")
    assert await write(sink, run(), *rows, number=4) == committed(3, 2)
    assert await database.query(STORED) == [("a", "newer"), ("b", "2")]
    assert all("on page 4, and on page 4." in reason for reason in await rejected(database))


async def test_what_moves_while_it_is_read_is_no_collision(sink: Sink, database: Database) -> None:
    """The same content on two pages that overlap; a record that was changed meanwhile, read in either order; a record
    that has changed since the last run.
    """
    await write(sink, run(1), row("moved", "before"))
    await open_lease(sink, run(2))
    outcomes = await commit(
        sink,
        page(run(2), 1, row("same", "1"), row("changed", "1", 1), row("late", "2", 2), row("moved", "after")),
        page(run(2), 2, row("same", "1")),
        page(run(2), 3, row("same", "1"), row("changed", "2", 2), row("late", "1", 1)),
    )
    assert outcomes == [committed(4), committed(1), committed(3)]
    assert await rejected(database) == []
    assert await database.query(STORED) == [("changed", "2"), ("late", "2"), ("moved", "after"), ("same", "1")]


def child(parent: str, number: int = 1, minute: int | None = None, of: int = 1) -> PageWrite:
    """Page `number` of the phones of a contact: it has a phone 1, with the same content as everybody's."""
    content = row("1", minute=minute, content=f"{parent} {minute}")
    phone = RowWrite("1", (parent, "555"), '{"id":"1"}', content.content_hash, content.updated_at)
    return page(run(of, entity=CHILD), number, phone, parent=parent, entity=CHILD)


@pytest.mark.parametrize("minutes", [(None, None), (1, 2), (2, 1)], ids=["no-times", "newer", "older"])
async def test_ids_that_are_unique_only_below_a_parent_are_reported_whatever_the_times_say(
    sink: Sink, database: Database, minutes: tuple[int | None, int | None]
) -> None:
    await sink.prepare(adapter(CHILD, CONTACT))
    await open_lease(sink, run(entity=CHILD))
    first, second = minutes
    outcomes = await commit(sink, child("ann", 3, first), child("bob", 1, second))
    assert [outcome.counts.rejected for outcome in outcomes] == [0, 1]
    (reason,) = await rejected(database)
    assert "on page 3 under ann, and on page 1 under bob." in reason


async def test_a_row_moves_to_the_parent_under_which_a_later_run_reads_it(sink: Sink, database: Database) -> None:
    await sink.prepare(adapter(CHILD, CONTACT))
    for number, parent in ((1, "ann"), (2, "bob")):
        await open_lease(sink, run(number, entity=CHILD))
        await commit(sink, child(parent, of=number))
        assert await database.query("select contact_id from book_book_phone") == [(parent,)]
    assert await rejected(database) == []


BAD = RejectedRecord("a", "amount: not a number", "{}")


@pytest.mark.parametrize("stored", [row("a", "Ann"), row("a", "Bob")], ids=["unchanged", "changed"])
async def test_a_record_that_is_stored_again_loses_its_rejection(
    sink: Sink, database: Database, stored: RowWrite
) -> None:
    await write(sink, run(1), row("a", "Ann"))
    await write(
        sink, run(2), row("b"), rejected=[BAD, RejectedRecord("x", "bad", "{}"), RejectedRecord("", "bad", "1")]
    )
    await write(sink, run(1, org="other"), rejected=[BAD])
    await write(sink, run(3), stored, row("b"))
    left = await database.query("select org, record_key from rejected_records order by org, record_key")
    assert left == [("acme", ""), ("acme", "x"), ("other", "a")]


async def test_a_first_load_of_records_that_were_all_rejected_before_clears_them(
    sink: Sink, database: Database
) -> None:
    await write(sink, run(1), rejected=[BAD])
    assert await write(sink, run(2), row("a"), row("b")) == committed(2)
    assert await rejected(database) == []


async def test_a_record_that_a_first_load_rejects_and_then_stores_has_no_rejection(
    sink: Sink, database: Database
) -> None:
    await open_lease(sink, run())
    await commit(sink, page(run(), 1, row("b"), rejected=[BAD]))
    await commit(sink, page(run(), 2, row("a")))
    assert await rejected(database) == []


async def test_a_record_that_is_stored_and_rejected_in_one_group_is_what_the_later_page_says(
    sink: Sink, database: Database
) -> None:
    await write(sink, run(1), rejected=[BAD])
    await open_lease(sink, run(2))
    await commit(sink, page(run(2), 1, row("a")), page(run(2), 2, rejected=[BAD]))
    assert await rejected(database) == [BAD.reason]
    await commit(sink, page(run(2), 3, rejected=[BAD]), page(run(2), 4, row("a")))
    assert await rejected(database) == []


async def test_a_fenced_page_clears_nothing(sink: Sink, database: Database) -> None:
    await write(sink, run(2), rejected=[BAD])
    await commit(sink, page(run(1), 1, row("a")))
    assert await rejected(database) == [BAD.reason]
