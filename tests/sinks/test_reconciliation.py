"""Reconciliations in the database: what they have seen is compared, what they have not seen is deleted or held."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from msgspec.structs import replace

from agents.deletes import Check, DeletingSink, Missing, Sweep
from agents.ledger import Comparison, Extent
from agents.ports import RejectedRecord, RowWrite, RunEnd, RunRef
from manifests.entity import Entity
from tests.sinks.builders import CHILD, CONTACT, adapter, close_run, commit, open_lease, page, row, run, write
from tests.sinks.conftest import Database

FAMILY = adapter(CONTACT, CHILD)
LONG_READ = Extent(asked_at=1)
SAMPLE, LIMIT = 100, 10
A_CENTURY = 60 * 24 * 365 * 100  # minutes: later than whatever the test does


def reconciliation(number: int = 1, entity: Entity = CONTACT, verify: bool = False) -> RunRef:
    return replace(run(number, entity=entity, type_="reconciliation"), verify=verify)


def with_raw(key: str, text: str, minute: int = 0) -> RowWrite:
    return msgspec.structs.replace(row(key, text, minute), raw=f'{{"id": "{key}", "text": "{text}"}}')


async def stored(sink: DeletingSink, *keys: str) -> None:
    """Rows that a full sync has read long ago."""
    await sink.prepare(FAMILY)
    await write(sink, run(), *(with_raw(key, "old") for key in keys))


async def find(sink: DeletingSink, of: RunRef, entity: Entity = CONTACT) -> Missing:
    return await sink.find_missing(Sweep(of, FAMILY, entity, 1), SAMPLE, LIMIT)


async def swept(sink: DeletingSink, of: RunRef, hold: str = "", entity: Entity = CONTACT) -> Comparison:
    done = await sink.sweep(Sweep(of, FAMILY, entity, 1, hold))
    assert done is not None
    return done


async def keys(database: Database, table: str = "book_book_contact") -> list[str]:
    return [key for (key,) in await database.query(f"select id from {table} where deleted_at is null order by id")]


async def test_each_record_is_compared_before_it_is_stored(sink: DeletingSink) -> None:
    await stored(sink, "a", "b", "c")
    read = (with_raw("a", "old"), with_raw("b", "edited", 5), with_raw("c", "counted"), with_raw("d", "new"))
    await write(sink, reconciliation(), *read)
    assert await sink.compare(reconciliation(), "") == Comparison(seen=4, new=1, changed=2, invisible=1)


async def test_what_was_not_seen_is_deleted_and_stays_in_its_table(sink: DeletingSink, database: Database) -> None:
    await stored(sink, "a", "b")
    of = reconciliation()
    await write(sink, of, with_raw("a", "old"))
    missing = await find(sink, of)
    assert (missing.rows, missing.found, missing.checked) == (2, 1, 0)
    assert [one.key for one in missing.unchecked] == ["b"]
    assert missing.witness is not None
    assert missing.witness.key == "a"
    await sink.note_checks(of, [Check("b", True, datetime.now(UTC))])
    assert (await find(sink, of)).unchecked == ()
    assert await swept(sink, of) == Comparison(seen=1, new=0, changed=0, invisible=0, missing=1, deleted=1)
    assert await keys(database) == ["a"]
    assert await database.query("select id, deleted_by_run from book_book_contact where deleted_at is not null") == [
        ("b", of.id)
    ]
    assert await sink.count("book", CONTACT, "acme") == 1


async def test_sweeping_again_after_a_crash_says_the_same(sink: DeletingSink, database: Database) -> None:
    await stored(sink, "a", "b")
    of = reconciliation()
    await write(sink, of, with_raw("a", "old"))
    await find(sink, of)
    first = await swept(sink, of)
    await find(sink, of)
    assert await swept(sink, of) == first
    assert await keys(database) == ["a"]


async def test_what_exists_though_no_list_shows_it_is_kept(sink: DeletingSink, database: Database) -> None:
    await stored(sink, "a", "b")
    of = reconciliation()
    await write(sink, of, with_raw("a", "old"))
    await find(sink, of)
    await sink.note_checks(of, [Check("b", False, datetime.now(UTC))])
    done = await swept(sink, of)
    assert (done.missing, done.deleted, done.kept) == (0, 0, 1)
    assert await keys(database) == ["a", "b"]


async def test_what_is_held_is_deleted_by_nobody(sink: DeletingSink, database: Database) -> None:
    await stored(sink, "a", "b")
    of = reconciliation()
    await write(sink, of, with_raw("a", "old"))
    await find(sink, of)
    done = await swept(sink, of, "too many")
    assert (done.missing, done.deleted, done.held, done.reason) == (1, 0, 1, "too many")
    assert await keys(database) == ["a", "b"]


async def test_the_next_reconciliation_takes_the_place_of_one_that_is_held(
    sink: DeletingSink, database: Database
) -> None:
    await stored(sink, "a", "b")
    for number in (1, 2):
        of = reconciliation(number)
        await write(sink, of, with_raw("a", "old"))
        await find(sink, of)
        await swept(sink, of, "too many")
        await close_run(sink, of, "done")
    states = await database.query("select run_id, state from sluice_deletes order by run_id")
    assert states == [(reconciliation(1).id, "outdated"), (reconciliation(2).id, "held")]


async def test_a_verification_compares_and_stores_nothing(sink: DeletingSink, database: Database) -> None:
    await stored(sink, "a", "b", "c")
    of = reconciliation(verify=True)
    await write(sink, of, with_raw("a", "edited", 5), with_raw("d", "new"), rejected=[RejectedRecord("c", "bad", "{}")])
    await find(sink, of)
    done = await swept(sink, of)
    assert done == Comparison(seen=3, new=1, changed=1, invisible=0, missing=1, verified=True)
    assert await keys(database) == ["a", "b", "c"]
    assert await database.query("select count(*) from rejected_records") == [(0,)]


async def test_a_record_that_is_rejected_has_been_seen(sink: DeletingSink) -> None:
    await stored(sink, "a", "b")
    of = reconciliation()
    await write(sink, of, with_raw("a", "old"), rejected=[RejectedRecord("b", "bad", "{}")])
    assert (await find(sink, of)).found == 0


async def test_a_record_without_a_key_may_be_any_row(sink: DeletingSink) -> None:
    await stored(sink, "a", "b")
    of = reconciliation()
    await write(sink, of, with_raw("a", "old"), rejected=[RejectedRecord("", "no key", "{}")])
    missing = await find(sink, of)
    assert (missing.found, missing.has_unkeyed) == (1, True)
    assert (await sink.compare(of, "")).seen == 1


async def test_a_row_that_was_read_since_the_run_began_is_not_missing(sink: DeletingSink) -> None:
    of = reconciliation()
    await write(sink, of, with_raw("a", "old"))
    await write(sink, run(type_="delta"), with_raw("z", "new"), read=A_CENTURY)
    assert (await find(sink, of)).found == 0


async def test_what_is_seen_after_it_was_found_missing_is_missing_no_more(sink: DeletingSink) -> None:
    await stored(sink, "a", "b")
    of = reconciliation()
    await write(sink, of, with_raw("a", "old"))
    assert (await find(sink, of)).found == 1
    await write(sink, of, with_raw("b", "old"), number=-1)
    assert (await find(sink, of)).found == 0


@pytest.mark.parametrize(("read", "comes_back"), [(0, False), (A_CENTURY, True)])
async def test_only_a_later_reading_brings_a_deleted_row_back(
    sink: DeletingSink, database: Database, read: int, comes_back: bool
) -> None:
    """A page that was requested before the record was deleted may be committed after it."""
    await stored(sink, "a", "b")
    of = reconciliation()
    await write(sink, of, with_raw("a", "old"))
    await find(sink, of)
    await swept(sink, of)
    for number, content in ((2, "old"), (3, "newer")):
        await write(sink, run(number), with_raw("b", content, number), read=read)
    assert await keys(database) == ["a", "b"][: 1 + comes_back]


async def test_what_stands_under_a_deleted_row_goes_with_it(sink: DeletingSink, database: Database) -> None:
    await stored(sink, "a", "b")
    for parent in ("a", "b"):
        below = RowWrite(f"{parent}1", (parent, "555"), f'{{"id": "{parent}1"}}', b"hash", None)
        await write(sink, run(entity=CHILD), below, entity=CHILD, parent=parent)
    of = reconciliation()
    await write(sink, of, with_raw("a", "old"))
    await find(sink, of)
    await swept(sink, of)
    assert await keys(database, "book_book_phone") == ["a1"]


async def test_under_parents_only_what_stood_in_a_list_that_was_read_is_missing(sink: DeletingSink) -> None:
    """The list of a parent that answered 404 says nothing of its records."""
    await stored(sink, "a", "b", "c")
    for parent in ("a", "b", "c"):
        below = RowWrite(f"{parent}1", (parent, "555"), f'{{"id": "{parent}1"}}', b"hash", None)
        await write(sink, run(entity=CHILD), below, entity=CHILD, parent=parent)
    of = reconciliation(entity=CHILD)
    await write(sink, of, entity=CHILD, parent="a", extent=LONG_READ, is_last=True)
    await write(sink, of, entity=CHILD, parent="b", extent=Extent(asked_at=None), is_last=True)
    (candidate,) = (await find(sink, of, CHILD)).unchecked
    assert candidate.parent is not None
    assert (candidate.key, candidate.parent.key) == ("a1", "a")


@pytest.mark.parametrize("way", ["closed", "replaced", "lost a page"])
async def test_a_run_that_does_not_count_any_more_deletes_nothing(
    sink: DeletingSink, database: Database, way: str
) -> None:
    await stored(sink, "a", "b")
    of = reconciliation()
    await write(sink, of, with_raw("a", "old"))
    await find(sink, of)
    match way:
        case "closed":
            await sink.close_runs([RunEnd(of, "cancelled")])
        case "replaced":
            await open_lease(sink, reconciliation(2))
        case "lost a page":
            await database.query("delete from sluice_pages")
    assert await sink.sweep(Sweep(of, FAMILY, CONTACT, 1)) is None
    assert await keys(database) == ["a", "b"]


async def test_of_many_missing_rows_a_sample_is_checked(sink: DeletingSink) -> None:
    names = [f"k{number:03}" for number in range(25)]
    await stored(sink, "a", *names)
    of = reconciliation()
    await write(sink, of, with_raw("a", "old"))
    missing = await sink.find_missing(Sweep(of, FAMILY, CONTACT, 1), 10, 4)
    assert [one.key for one in missing.unchecked] == ["k000", "k003", "k006", "k009"]
    await sink.note_checks(of, [Check(one.key, True, datetime.now(UTC)) for one in missing.unchecked])
    again = await sink.find_missing(Sweep(of, FAMILY, CONTACT, 1), 10, 100)
    assert (again.found, again.checked, len(again.unchecked)) == (25, 4, 5)


async def test_two_pages_that_show_one_record_see_it_once(sink: DeletingSink) -> None:
    of = reconciliation()
    await open_lease(sink, of)
    await commit(sink, page(of, 1, with_raw("a", "x")), page(of, -1, with_raw("a", "x")))
    assert (await sink.compare(of, "")).seen == 1


async def test_rows_are_deleted_at_the_moment_at_which_the_api_said_so(sink: DeletingSink, database: Database) -> None:
    await stored(sink, "a", "b")
    of = reconciliation()
    await write(sink, of, with_raw("a", "old"))
    await find(sink, of)
    at = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    await sink.note_checks(of, [Check("b", True, at)])
    await swept(sink, of)
    ((deleted_at,),) = await database.query("select deleted_at from book_book_contact where id = 'b'")
    assert deleted_at in (at, at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"))
