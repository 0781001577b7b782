"""The checker's own reading of the formats agrees with what the engine writes. Here alone the two meet."""

import ast
import dataclasses
import hashlib
import json
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from agents.records.reader import read_page
from manifests.entity import Entity, columns, table_name
from manifests.loader import load_packaged
from tables.changelog import tombstone_headers
from tables.kinds.entity import EntityState
from tables.requests import LoggedRequest, RequestLog, encode_requests, log_key
from tables.row import HistoryEntry, Row, encode_row
from tests.chaos.archive import Archive
from tests.checker.entries import Entry
from tests.checker.evidence import Evidence
from tests.checker.formats import RecordReader, Unreadable
from tests.checker.kafka_log import JOURNAL, TopicsReader, read_archive
from tests.checker.layouts import layout_of, read_layouts
from tests.checker.messages import action_id, decoded, letter, retry_id, start_id, workflow_of
from tests.checker.rows import TableReader, faults, is_same
from tests.checker.source import read_served
from tests.checker.values import Action, LogFacts, PageResult, Served
from tests.engine.broker import LogRecord
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


def taken(topic: str, *values: bytes | None, key: str = STATE.key, headers: Any = ()) -> Evidence:
    """What a topic with these values leads to."""
    reader = TopicsReader()
    for offset, value in enumerate(values):
        given = {"topic": topic, "partition": 0, "offset": offset, "key": key.encode(), "value": value}
        reader.take(SimpleNamespace(**given, headers=headers))
    return reader.evidence()


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


REJECTED = LoggedRequest("c", "start-sync@4", "why")


@pytest.mark.parametrize(
    ("slot", "second", "what"),
    [
        (2, {}, "head, key and content do not agree"),
        (1, {"seq": 6}, "its writer goes back from seq 7"),
        (1, {"seq": 8, "requests": ()}, "1 requests of its day are forgotten"),
        (1, {"seq": 8, "requests": (*LOG.requests, REJECTED)}, ""),
        (1, {"seq": 8, "requests": (), "day": 17}, ""),
        (1, {"epoch": 3, "seq": 6, "requests": ()}, ""),
    ],
)
def test_a_request_log_is_read_as_it_was_written_and_its_writer_takes_nothing_back(
    slot: int, second: dict[str, Any], what: str
) -> None:
    key = log_key(STATE.key, slot)
    found = taken(JOURNAL, encode_requests(LOG), encode_requests(replace(LOG, **second)), key=key.decode())
    first, last = found.request_logs
    assert (first.workflow, first.partition, first.epoch, first.seq, first.day) == (STATE.key, 0, 2, 7, 9)
    assert (set(first.ids), found.request_ids, found.journal) == ({"a"}, {STATE.key: {"a"}}, list[Entry]())
    assert [what in fault for fault in last.faults] == [True] * bool(what)
    assert taken(JOURNAL, encode_requests(LOG), None, key=key.decode()).folded == {0: {}}


def test_what_is_no_record_cannot_be_judged() -> None:
    for read in (RecordReader().read, RecordReader().read_log):
        with pytest.raises(Unreadable, match="journal 1/2"):
            read(STATE.key, b"nonsense", 1, 2)


def test_a_result_of_a_lease_is_read_as_it_was_reported() -> None:
    done = PageDone(workflow=STATE.key, run=9, lease=2, first=3, units=4, pages=5, records=6, rejected=1)
    assert decoded(encode(done), PageResult) == PageResult(STATE.key, 9, 2, 4, 5, 6, 1, 3, 1)
    assert [decoded(value, PageResult) for value in (None, b"\xff", b'{"run": "x"}')] == [None, None, None]


@pytest.mark.parametrize("attempt", [1, 2])
def test_an_action_and_its_result_are_about_the_same_step_and_have_the_ids_that_the_engine_gives_them(
    attempt: int,
) -> None:
    known: dict[str, Any] = {"workflow": STATE.key, "run": 9, "action": "finish-run", "step": "done"}
    action = RunAction(**known, attempt=attempt, org="acme", adapter="pco", input={"outcome": "done"})
    complete = ActionComplete(**known, attempt=attempt, result={"pages": 3}, error="rejected")
    sent, done = decoded(encode(action), Action), decoded(encode(complete), Action)
    assert sent
    assert done
    assert (sent.about, done.error, done.result) == (done.about, "rejected", {"pages": 3})
    assert [action_id(one.topic, sent) for one in (action, complete)] == [action.id, complete.id]


def test_a_request_has_the_id_that_the_engine_gives_it_and_is_for_whom_the_engine_takes_it() -> None:
    retry = RetryNow(workflow=STATE.key, request_id="n")
    bare = START.model_copy(update={"request_id": None})
    assert start_id(("start-sync", 0, 0), encode(START)) == START.id
    assert start_id(("start-sync", 3, 4), encode(bare), 5) == bare.named_after("start-sync/3/4/5").id
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
    assert layouts["people.person"].place("/people/v2/people", "offset=196&per_page=100") == ("", 3)
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
        "resource_permission_flags": {"b": 1, "a": [None]},
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
        ("resource_permission_flags", '{"a":[null],"b":2}'),
        ("source_updated_at", datetime(2026, 1, 5, 12, tzinfo=UTC)),
        ("content_hash", b"else"),
        ("id", "8"),
    ],
)
def test_a_row_that_says_something_else_than_its_record_is_found(column: str, value: object) -> None:
    assert wrong() == []
    (fault,) = wrong(**{column: value})
    assert column in fault or "key" in fault


@pytest.mark.parametrize(("rejected_in", "faults_found"), [("w@8", 1), ("w@9", 0), (None, 0)])
def test_a_row_that_was_stored_after_its_rejection_is_no_longer_listed(
    rejected_in: str | None, faults_found: int
) -> None:
    assert len(wrong(run_id="w@9", rejected_in=rejected_in)) == faults_found


def test_a_value_is_the_same_in_the_columns_type() -> None:
    assert is_same("text", 7, "7")
    assert is_same("integer", 4.0, 4)
    assert is_same("integer", "9007199254740993", 9007199254740993)
    assert is_same("number", "1.5", 1.5)
    assert not is_same("number", "1.5", None)


def test_a_table_has_the_hash_that_the_source_has() -> None:
    reader = TableReader("acme", read_layouts("pco")["people.person"], {"8": (None, 5.0)})
    reader.take(row())
    reader.take({**row(), "id": "8"})  # of a record that died
    said = {name: RECORD[name] for name in ("attributes", "id", "relationships", "type")}
    text = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    found = reader.table()
    assert (found.rows, sorted(found.keys)) == (1, ["7", "8"])
    assert [fault.partition(":")[0] for fault in found.faults] == ["acme people.person 8"]
    assert found.sha256 == hashlib.sha256(b"7\n" + text + b"\n").hexdigest()


CHILD: dict[str, Any] = {
    "name": "x.item",
    "path": "/plans/{id}/items",
    "updated_at": "at",
    "under": {"entity": "x.plan", "column": "plan_id", "key": True},
    "references": {"song_id": {"entity": "x.song", "from": "song.id"}},
    "fields": {"title": {"type": "text", "from": "title"}},
}


def test_a_row_whose_parent_is_part_of_its_key_and_hash_is_read_as_the_engine_makes_it() -> None:
    layout, record = layout_of("x", CHILD), {"id": "3", "title": "Intro", "song": {"id": "9"}, "at": "2026-01-05"}
    file = load_packaged().adapter("pco").file
    (write,) = read_page(json.dumps({"data": [record]}).encode(), file, Entity.model_validate(CHILD), "17:2").rows
    stored = dict(zip(("plan_id", "song_id", "title"), write.values, strict=True))
    stored |= {"id": write.key, "content_hash": write.content_hash, "source_updated_at": write.updated_at}
    assert list(faults(layout, stored, record)) == []
    assert list(faults(layout, {**stored, "plan_id": "18"}, record)) == [
        "content_hash is not that of its raw record",
        "its raw record has the key '18:3'",
    ]


def test_rows_under_a_parent_name_it() -> None:
    layout = dataclasses.replace(read_layouts("pco")["people.person"], parent_column="plan_id")
    assert "plan_id is empty: it was read under nobody" in faults(layout, {**row(), "plan_id": None}, RECORD)


def test_a_journal_of_the_simulator_is_read_up_to_where_it_was_torn(tmp_path: Path) -> None:
    journal = tmp_path / "served.tsv"
    first, second, repair = (f"/people/v2/people?offset={start}&per_page=100" for start in (0, 98, 31))
    person = "acme\tpeople.person\t"
    journal.write_text(f"{person}{first}\t1.5\n{person}{repair}\n{person}{second}\nacme\tpeople.per")
    found = list(read_served(journal, read_layouts("pco")))
    assert found == [Served("acme", "people.person", "", 1, 1.5), Served("acme", "people.person", "", 2)]


def test_the_journal_is_read_with_its_fold_and_where_that_changed_last() -> None:
    older, newest, stale = (encode_row(replace(ROW, epoch=epoch, seq=seq)) for epoch, seq in ((1, 1), (2, 2), (1, 9)))
    found = taken(JOURNAL, older, newest, stale, newest)
    assert ([entry.offset for entry in found.journal], found.cut_off) == ([0, 1, 3], 1)
    assert (found.folded[0], found.position) == ({STATE.key.encode(): newest}, {0: 1})
    assert found.newest[STATE.run_id].value == newest
    assert found.events == {(STATE.key, 1, 7, "c", "n", "r", STATE.run_id)}


def test_of_a_compacted_journal_the_archive_has_the_records_and_kafka_the_last_of_each_key(tmp_path: Path) -> None:
    older, newer = (encode_row(replace(ROW, epoch=1, seq=seq)) for seq in (1, 2))
    reader, archive, key = TopicsReader(), tmp_path / "journal.jsonl", STATE.key.encode()
    records = [
        LogRecord(JOURNAL, 0, 0, 0, key, older, ()),
        LogRecord(JOURNAL, 0, 1, 0, key, None, tombstone_headers(1, 2)),
        LogRecord(JOURNAL, 0, 2, 0, key, newer, ()),
    ]
    Archive("nowhere", 1, archive)._write(records)
    reader.take_last(records[2])
    reader.found.logs = [LogFacts(JOURNAL, 0, 0, 3, read=1, holes=[0], next=3)]
    read_archive(archive, reader)
    assert [(entry.offset, entry.is_tombstone) for entry in reader.found.journal] == [(0, False), (1, True), (2, False)]
    assert (reader.found.last, reader.found.compacted) == ({0: {key: newer}}, 2)
    assert (reader.found.logs[0].read, reader.found.logs[0].holes) == (3, [])


def test_what_the_engine_sent_is_known_by_its_id_and_the_id_of_an_action_is_derived_anew() -> None:
    step = b'{"workflow":"w","run":1,"action":"finish-run","step":"done"}'
    found = taken("run-action", step, headers=[("sluice-id", b"abc")])
    assert [(sent.id, len(sent.derived)) for sent in found.sent] == [("abc", 32)]
    assert taken("run-action", step).sent == []
