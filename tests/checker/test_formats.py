"""The checker's own reading of the formats agrees with what the engine writes. Here alone the two meet."""

import ast
import hashlib
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import msgspec
import pytest

from agents.records.reader import read_page
from manifests.entity import columns, table_name
from manifests.loader import load_packaged
from tables.kinds.entity import EntityState
from tables.requests import LoggedRequest, RequestLog, encode_requests, log_key
from tables.row import HistoryEntry, Row, encode_row
from tests.checker.formats import RecordReader, Unreadable
from tests.checker.layouts import read_layouts
from tests.checker.messages import action_id, action_in, letter, page_result_in, retry_id, start_id, workflow_of
from tests.checker.rows import TableReader, faults, is_same
from tests.support.house import ROOT
from topics.actions import ActionComplete, RunAction
from topics.codec import encode
from topics.command import RetryNow
from topics.dead_letters import DeadLetter, to_record
from topics.kinds.entity import PageDone
from topics.kinds.sync import StartSync

STATE = EntityState(
    org="acme", adapter="pco", entity="people.person", type="full", mode="chain", parent="main-sync:acme:pco:full",
    parent_run=5, run=9, started_at=5, pages=3, reason="why",
).leasing(4, 2)  # fmt: skip
ROW = Row[Any](
    epoch=2, seq=7, due=11, due_set_at=4, state=STATE, last_offset={"control": 3}, request_ids=("i" * 32,)
).with_event(HistoryEntry(7, 1, "c", "n", "r", 9))  # fmt: skip
LOG = RequestLog(epoch=2, seq=7, day=9, requests=(LoggedRequest("a", "start-sync@3"), LoggedRequest("b", "")))
START = StartSync(org="acme", adapter="pco", type="full", request_id="r")

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
    others = {name for name in names if not f"{name}.".startswith("tests.checker.")}
    assert {name.partition(".")[0] for name in others} <= ALLOWED


def test_a_record_is_read_as_it_was_written_and_disagrees_under_another_key_or_head() -> None:
    reader = RecordReader()
    entry = reader.read(STATE.key, encode_row(ROW), 1, 2)
    assert (entry.guard, entry.due, entry.due_set_at, entry.status) == ((2, 7), 11, 4, "fetching")
    assert (entry.leases, entry.pages, entry.reason, entry.head_agrees) == (((1, 1, 4),), 3, "why", True)
    assert (entry.history, entry.run_id) == (((7, 1, "c", "n", "r", 9),), STATE.run_id)
    assert (entry.cause, reader.events) == ("c", {STATE.key: set(entry.history)})
    assert (reader.ids, entry.last_offset) == ({STATE.key: {"i" * 16}}, (("control", 3),))

    value = encode_row(ROW)
    assert not RecordReader().read("entity-sync:acme:pco:people.email:full", value, 0, 0).head_agrees
    assert not RecordReader().read(STATE.key, value[:15] + b"\x09" + value[16:], 0, 0).head_agrees


def test_a_request_log_is_read_as_it_was_written() -> None:
    rejected = LoggedRequest("c", "start-sync@4", "why")
    value = encode_requests(replace_log(requests=(*LOG.requests, rejected)))
    found = RecordReader().read_log(log_key(STATE.key, 9 % 8).decode(), value, 3, 0)
    assert (found.workflow, found.partition, found.epoch, found.seq, found.day) == (STATE.key, 3, 2, 7, 9)
    assert (found.ids, found.faults) == (frozenset("a"), list[str]())


@pytest.mark.parametrize(
    ("slot", "second", "what"),
    [
        (2, LOG, "head, key and content do not agree"),
        (1, {"seq": 6}, "its writer goes back from seq 7"),
        (1, {"seq": 8, "requests": ()}, "1 requests of its day are forgotten"),
        (1, {"seq": 8, "requests": (), "day": 17}, ""),
        (1, {"epoch": 3, "seq": 6, "requests": ()}, ""),
    ],
)
def test_a_request_log_that_its_writer_spoiled_is_found(slot: int, second: Any, what: str) -> None:
    reader, key = RecordReader(), log_key(STATE.key, slot).decode()
    found = [reader.read_log(key, encode_requests(LOG), 0, 0)]
    if isinstance(second, dict):
        found.append(reader.read_log(key, encode_requests(replace_log(**second)), 0, 1))
    faults = [fault for one in found for fault in one.faults]
    assert [what in fault for fault in faults] == [True] * bool(what)


def replace_log(**more: Any) -> RequestLog:
    return msgspec.structs.replace(LOG, **more)


def test_what_is_no_record_cannot_be_judged() -> None:
    for read in (RecordReader().read, RecordReader().read_log):
        with pytest.raises(Unreadable, match="journal 1/2"):
            read(STATE.key, b"nonsense", 1, 2)


def test_a_result_of_a_lease_is_read_as_it_was_reported() -> None:
    done = PageDone(workflow=STATE.key, run=9, lease=2, first=3, units=4, pages=5, records=6, rejected=1)
    result = page_result_in(encode(done))
    assert result is not None
    assert (result.workflow, result.run, result.lease, result.attempt, result.first) == (STATE.key, 9, 2, 1, 3)
    assert (result.units, result.pages, result.records, result.rejected) == (4, 5, 6, 1)
    assert [page_result_in(value) for value in (None, b"\xff", b'{"run": "x"}')] == [None, None, None]


@pytest.mark.parametrize("attempt", [1, 2])
def test_an_action_and_its_result_are_about_the_same_step_and_have_the_ids_that_the_engine_gives_them(
    attempt: int,
) -> None:
    known: dict[str, Any] = {"workflow": STATE.key, "run": 9, "action": "finish-run", "step": "done"}
    action = RunAction(**known, attempt=attempt, org="acme", adapter="pco", input={"outcome": "done"})
    complete = ActionComplete(**known, attempt=attempt, result={"pages": 3}, error="rejected")
    sent, done = action_in(encode(action)), action_in(encode(complete))
    assert sent is not None
    assert done is not None
    assert (sent.step, done.error, done.result) == (done.step, "rejected", {"pages": 3})
    assert [action_id(one.topic, sent.step) for one in (action, complete)] == [action.id, complete.id]


def test_a_request_has_the_id_that_the_engine_gives_it_and_is_for_whom_the_engine_takes_it() -> None:
    retry = RetryNow(workflow=STATE.key, request_id="n")
    bare = START.model_copy(update={"request_id": None})
    assert start_id(("start-sync", 0, 0), encode(START)) == START.id
    assert start_id(("start-sync", 3, 4), encode(bare)) == bare.named_after("start-sync/3/4").id
    assert retry_id(STATE.key, "n") == retry.id
    assert [workflow_of("start-sync", encode(START)), workflow_of("control", encode(retry))] == [START.key, retry.key]
    assert [workflow_of("start-sync", value) for value in (b"[]", b'{"org": 1}', None)] == ["", "", ""]


def test_a_dead_letter_says_where_it_came_from() -> None:
    key, value, headers = to_record(DeadLetter("control", 3, 44, 1, "because", b"k", b"v", ()))
    found = letter(0, 1, key, value, headers)
    assert (found.origin, found.reason, found.key, found.value) == (("control", 3, 44), "because", b"k", b"v")


def test_tables_are_laid_out_as_the_engine_makes_them_and_an_address_is_a_page() -> None:
    layouts, entities = read_layouts("pco"), load_packaged().adapter("pco").entities
    assert list(layouts) == sorted(entities)
    for name, entity in entities.items():
        layout = layouts[name]
        named = [layout.parent_column] if layout.parent_column else []
        assert layout.table == table_name("pco", name)
        assert [*named, *(column.name for column in layout.columns)] == [column.name for column in columns(entity)]
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
    assert wrong() == []
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
    layout = replace(read_layouts("pco")["people.person"], parent_column="plan_id")
    assert "plan_id is empty: it was read under nobody" in faults(layout, {**row(), "plan_id": None}, RECORD)
