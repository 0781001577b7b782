"""The checker's own reading of the formats agrees with what the engine writes. Here alone the two meet."""

import ast
import hashlib
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest

from agents.records.reader import read_page
from manifests.entity import columns, table_name
from manifests.loader import load_packaged
from tables.catalog import State
from tables.kinds.entity import EntityState
from tables.row import Row, encode_row
from tests.checker.formats import RecordReader, Unreadable, fold, guard_of, letter, start_id, told_in, workflow_of
from tests.checker.layouts import Layout, read_layouts
from tests.checker.rows import TableReader, faults, is_same
from tests.support.house import ROOT
from topics.codec import encode
from topics.commands import PageDone, RetryNow, StartSync
from topics.dead_letters import DeadLetter, to_record
from topics.ids import derive_id

STATE = EntityState(
    org="acme",
    adapter="pco",
    entity="people.person",
    type="full",
    mode="chain",
    parent="main-sync:acme:pco:full",
    parent_run=5,
    run=9,
    started_at=5,
    pages=3,
    reason="why",
).leasing(4, 2)
ROW = Row[State](generation=2, seq=7, due=11, state=STATE, last_offset={"control": 3}, seen=("id",)).with_event(
    1, "c", "n"
)
PLAN = Layout("x.y", "a_x_y", (), "", (("id",),), (), read_layouts("pco")["people.person"].path, 25)


ALLOWED = sys.stdlib_module_names | {"aiokafka", "asyncpg", "httpx", "msgspec", "rocksdict", "yaml"}


def imported(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def test_the_checker_shares_no_code_with_the_engine() -> None:
    parts = [path for path in (ROOT / "tests" / "checker").rglob("*.py") if not path.name.startswith("test_")]
    names = {name for path in parts for name in imported(path.read_text(encoding="utf-8"))}
    strangers = {name for name in names if not f"{name}.".startswith("tests.checker.")}
    assert {name.partition(".")[0] for name in strangers} <= ALLOWED


def test_a_record_of_the_journal_is_read_as_it_was_written() -> None:
    reader = RecordReader()
    entry = reader.read(STATE.key, encode_row(ROW), 1, 2)
    assert (entry.guard, entry.due, entry.status, entry.run_id) == ((2, 7), 11, "fetching", STATE.run_id)
    assert (entry.leases, entry.pages, entry.reason, entry.head_agrees) == (((1, 1, 4),), 3, "why", True)
    assert (entry.trail, entry.cause) == (((7, "c"),), "c")
    assert (reader.seen, reader.causes, entry.last_offset) == ({"id"}, {"c"}, (("control", 3),))


def test_a_record_under_another_key_or_another_head_disagrees() -> None:
    value = encode_row(ROW)
    assert not RecordReader().read("entity-sync:acme:pco:people.email:full", value, 0, 0).head_agrees
    assert not RecordReader().read(STATE.key, value[:15] + b"\x09" + value[16:], 0, 0).head_agrees


def test_what_is_no_record_cannot_be_judged() -> None:
    with pytest.raises(Unreadable, match="journal 1/2"):
        RecordReader().read(STATE.key, b"nonsense", 1, 2)


def test_the_journal_folds_by_guard() -> None:
    newer, older, folded = encode_row(ROW), encode_row(replace_row(seq=6)), dict[bytes, bytes]()
    fold(folded, b"k", newer)
    fold(folded, b"k", older)
    assert (folded, guard_of(newer)) == ({b"k": newer}, (2, 7))
    fold(folded, b"k", None)
    assert folded == {}


def replace_row(seq: int) -> Row[State]:
    return Row[State](generation=2, seq=seq, state=STATE)


def test_a_result_of_a_lease_is_read_as_it_was_told() -> None:
    done = PageDone(workflow=STATE.key, run=9, lease=2, first=3, units=4, pages=5, records=6, rejected=1)
    told = told_in(encode(done))
    assert told is not None
    assert (told.workflow, told.run, told.lease, told.attempt, told.first) == (STATE.key, 9, 2, 1, 3)
    assert (told.units, told.pages, told.records, told.rejected) == (4, 5, 6, 1)
    assert [told_in(value) for value in (None, b"\xff", b'{"run": "x"}')] == [None, None, None]


def test_a_start_has_the_id_that_the_engine_gives_it() -> None:
    start = StartSync(org="acme", adapter="pco", type="full", request_id="r")
    assert start_id(("start-sync", 0, 0), encode(start)) == start.id
    bare = start.model_copy(update={"request_id": "start-sync/3/4"})
    assert start_id(("start-sync", 3, 4), encode(start.model_copy(update={"request_id": None}))) == bare.id


def test_a_message_is_for_whom_the_engine_takes_it() -> None:
    start = StartSync(org="acme", adapter="pco", type="full")
    nudge = RetryNow(workflow=STATE.key, request_id="n")
    assert [workflow_of("start-sync", encode(start)), workflow_of("control", encode(nudge))] == [start.key, nudge.key]
    assert nudge.id == derive_id("control", "nudge", STATE.key, "n")
    assert [workflow_of("start-sync", value) for value in (b"[]", b'{"org": 1}', None)] == ["", "", ""]


def test_a_dead_letter_says_where_it_came_from() -> None:
    key, value, headers = to_record(DeadLetter("control", 3, 44, 1, "because", b"k", b"v", ()))
    found = letter(0, 1, key, value, headers)
    assert (found.origin, found.reason, found.key, found.value) == (("control", 3, 44), "because", b"k", b"v")


def test_tables_are_laid_out_as_the_engine_makes_them() -> None:
    layouts, entities = read_layouts("pco"), load_packaged().adapter("pco").entities
    assert list(layouts) == sorted(entities)
    for name, entity in entities.items():
        layout = layouts[name]
        named = [layout.parent_column] if layout.parent_column else []
        assert layout.table == table_name("pco", name)
        assert [*named, *(column.name for column in layout.columns)] == [column.name for column in columns(entity)]


def test_an_address_is_the_page_of_an_entity() -> None:
    layouts = read_layouts("pco")
    assert layouts["people.person"].place("/people/v2/people", "offset=200&per_page=100") == ("", 3)
    under = "/services/v2/service_types/7/plans/9/items"
    assert layouts["services.item"].place(under, "per_page=100") == ("9", 1)
    assert layouts["people.person"].place("/people/v2/people/7", "") is None


RECORD: dict[str, Any] = {
    "type": "Person",
    "id": "7",
    "attributes": {
        "first_name": "Zoë",
        "birthdate": "1980-02-29",
        "child": False,
        "grade": "4",
        "created_at": "2026-01-05T10:00:00Z",
        "updated_at": "2026-01-05T12:00:00+02:00",
        "directory_shared_info": {"b": 1, "a": [None]},
    },
    "relationships": {"primary_campus": {"data": {"id": "3", "type": "Campus"}}},
    "links": {"self": "…"},
}


def row() -> dict[str, Any]:
    """What the engine makes of the record, as the database gives it back."""
    adapter = load_packaged().adapter("pco")
    entity = adapter.entities["people.person"]
    (write,) = read_page(json.dumps({"data": [RECORD]}).encode(), adapter.file, entity).rows
    names = [column.name for column in columns(entity)]
    stored = dict(zip(names, write.values, strict=True))
    head = {"id": write.key, "raw": write.raw, "content_hash": write.content_hash, "run_id": "r", "page": 1}
    return {**stored, **head, "source_updated_at": write.updated_at}


def wrong(**more: object) -> list[str]:
    return list(faults(read_layouts("pco")["people.person"], {**row(), **more}, RECORD))


def test_a_row_that_the_engine_made_has_no_fault() -> None:
    assert wrong() == []


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("first_name", "Zoe"),
        ("birthdate", date(1980, 3, 1)),
        ("child", None),
        ("grade", 5),
        ("primary_campus_id", "4"),
        ("directory_shared_info", '{"a":[null],"b":2}'),
        ("source_updated_at", datetime(2026, 1, 5, 12, tzinfo=UTC)),
        ("content_hash", b"else"),
        ("id", "8"),
    ],
)
def test_a_row_that_says_something_else_than_its_record_is_found(column: str, value: object) -> None:
    (fault,) = wrong(**{column: value})
    assert column in fault or "key" in fault


@pytest.mark.parametrize(
    ("type_", "wanted", "stored"),
    [
        ("text", 7, "7"),
        ("integer", 4.0, 4),
        ("integer", "9007199254740993", 9007199254740993),
        ("number", "1.5", 1.5),
        ("timestamp", "2026-01-05", datetime(2026, 1, 5, tzinfo=UTC)),
    ],
)
def test_a_value_is_the_same_in_the_columns_type(type_: str, wanted: object, stored: object) -> None:
    assert is_same(type_, wanted, stored)
    assert not is_same(type_, wanted, None)


def test_a_table_has_the_hash_that_the_source_has() -> None:
    reader = TableReader("acme", read_layouts("pco")["people.person"])
    reader.take(row())
    said = {name: RECORD[name] for name in ("attributes", "id", "relationships", "type")}
    text = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    found = reader.table()
    assert (found.rows, found.faults) == (1, ())
    assert found.sha256 == hashlib.sha256(b"7\n" + text + b"\n").hexdigest()


def test_rows_under_a_parent_name_it() -> None:
    layout = replace(PLAN, parent_column="plan_id")
    given = {**row(), "plan_id": None}
    assert "plan_id is empty: it was read under nobody" in list(faults(layout, given, RECORD))
