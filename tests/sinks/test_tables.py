"""Tables: made, widened, refused; their values and keys. For every sink."""

import json
from datetime import date, datetime

import pytest

from agents.ports import Parent, ParentsRequest, Sink
from manifests.entity import Entity
from service.clock import SystemClock
from service.sinks import open_sink
from tests.sinks.builders import CONTACT, EVERY_TYPE, TYPED, adapter, committed, row, run, typed_row, write
from tests.sinks.conftest import Database
from topics.errors import Rejected


def contact_with(**types: str) -> Entity:
    fields = {name: {"type": type_, "from": name} for name, type_ in types.items()}
    return Entity.model_validate({"name": CONTACT.name, "path": CONTACT.path, "fields": fields})


async def test_preparing_again_changes_nothing(sink: Sink, database: Database) -> None:
    await write(sink, run(), row("a", "Ann"))
    before = await database.query("select number, checksum, applied_at from sluice_migrations")
    await sink.prepare(adapter())
    assert await database.query("select number, checksum, applied_at from sluice_migrations") == before
    assert await sink.count("book", CONTACT, "acme") == 1


async def test_a_new_field_becomes_a_column_and_old_rows_stay(sink: Sink, database: Database) -> None:
    await write(sink, run(), row("a", "Ann"))
    wider = contact_with(age="integer", name="text")
    await sink.prepare(adapter(wider))
    await write(sink, run(), typed_row("b", 7, "Bob"), number=2, entity=wider)
    found = await database.query("select id, name, age from book_book_contact order by id")
    assert found == [("a", "Ann", None), ("b", "Bob", 7)]


async def test_a_field_that_is_gone_leaves_its_column(sink: Sink, database: Database) -> None:
    await write(sink, run(), row("a", "Ann"))
    await sink.prepare(adapter(contact_with(age="integer")))
    assert await database.query("select name from book_book_contact") == [("Ann",)]


@pytest.mark.parametrize("type_", ["integer", "number", "boolean", "timestamp", "date", "json"])
async def test_a_field_of_another_type_than_its_column_is_refused(sink: Sink, type_: str) -> None:
    with pytest.raises(Rejected, match="column name of table book_book_contact is text, and the manifest makes it"):
        await sink.prepare(adapter(contact_with(name=type_)))


async def test_a_table_of_somebody_else_is_refused(database: Database) -> None:
    sink = database.open()
    await sink.prepare(adapter(TYPED))
    await database.query("create table book_book_contact (id integer, name text)")
    with pytest.raises(Rejected, match="table book_book_contact exists, but has no column org: Sluice did not make it"):
        await sink.prepare(adapter())


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("insert into sluice_migrations values (999, '999_later.sql', 'x', 'now')", "999.*newer than the program"),
        ("update sluice_migrations set checksum = 'x' where number = 1", "another 001_ledger.sql than this version"),
    ],
)
async def test_a_database_of_another_version_is_refused(sink: Sink, database: Database, change: str, why: str) -> None:
    await database.query(change)
    with pytest.raises(Rejected, match=why):
        await sink.prepare(adapter())


async def test_every_type_of_column_keeps_its_value(sink: Sink, database: Database) -> None:
    nothing = typed_row("b", *(None for _ in EVERY_TYPE))
    await write(sink, run(entity=TYPED), typed_row("a", *EVERY_TYPE), nothing, entity=TYPED)
    names = ", ".join(f'"{name}"' for name in TYPED.fields)
    found, empty = await database.query(f"select {names} from book_book_typed order by id")
    assert found[:4] == EVERY_TYPE[:4]
    assert [_moment(found[4]), _day(found[5]), json.loads(found[6])] == [EVERY_TYPE[4], EVERY_TYPE[5], {"a": [1]}]
    assert empty == (None,) * len(EVERY_TYPE)


def _moment(stored: str | datetime) -> datetime:
    return stored if isinstance(stored, datetime) else datetime.fromisoformat(stored)


def _day(stored: str | date) -> date:
    return stored if isinstance(stored, date) else date.fromisoformat(stored)


async def test_rows_are_counted_by_organisation(sink: Sink) -> None:
    await write(sink, run(), row("a"), row("b"))
    await write(sink, run(org="other"), row("a"))
    assert [await sink.count("book", CONTACT, org) for org in ("acme", "other", "nobody")] == [2, 1, 0]


async def test_parents_come_in_the_order_of_their_bytes(sink: Sink) -> None:
    await write(sink, run(), *(row(key) for key in ("10", "9", "a", "B", "é", "z", "-1")))
    found = await sink.parents(ParentsRequest("book", CONTACT, "acme", (), None, 100))
    assert [parent.key for parent in found] == ["-1", "10", "9", "B", "a", "z", "é"]


async def test_parents_are_read_in_steps_behind_the_last_key(sink: Sink) -> None:
    await write(sink, run(), *(row(str(number)) for number in range(5)))
    await write(sink, run(org="other"), row("11"))
    first = await sink.parents(ParentsRequest("book", CONTACT, "acme", (), None, 2))
    second = await sink.parents(ParentsRequest("book", CONTACT, "acme", (), first[-1].key, 100))
    assert [parent.key for parent in (*first, *second)] == ["0", "1", "2", "3", "4"]
    assert await sink.parents(ParentsRequest("book", CONTACT, "acme", (), "4", 100)) == []


async def test_a_parents_columns_are_text(sink: Sink) -> None:
    await write(sink, run(entity=TYPED), typed_row("a", *EVERY_TYPE[:6], None), entity=TYPED)
    (found,) = await sink.parents(ParentsRequest("book", TYPED, "acme", ("id", *TYPED.fields), None, 1))
    values = "a", "text", str(2**63 - 1), "1.5", "true", "2026-01-05T12:00:00.000001Z", "2026-01-05"
    assert found == Parent("a", dict(zip(("id", *TYPED.fields), values, strict=False)))


async def test_a_column_that_the_parent_does_not_have_is_refused(sink: Sink) -> None:
    with pytest.raises(Rejected, match="table book_book_contact has no column phone"):
        await sink.parents(ParentsRequest("book", CONTACT, "acme", ("phone",), None, 1))


async def test_a_number_beyond_64_bits_is_set_aside(sink: Sink) -> None:
    too_big = typed_row("a", "text", 2**63, *EVERY_TYPE[2:])
    assert await write(sink, run(entity=TYPED), too_big, entity=TYPED) == committed(0, 1)


async def test_an_entity_without_a_table_says_what_to_do(database: Database) -> None:
    sink = database.open()
    await sink.prepare(adapter(TYPED))
    with pytest.raises(Rejected, match=r"is not prepared: .*book_book_contact.* restart"):
        await write(sink, run(), row("a"))


@pytest.mark.parametrize("url", ["mysql://host/db", "sqlite://", "sqlite:///", "", "postgresql:/host"])
def test_an_address_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(Rejected, match="it must be sqlite:///PATH or"):
        open_sink(url, SystemClock())
