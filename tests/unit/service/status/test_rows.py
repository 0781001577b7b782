from datetime import UTC, datetime
from itertools import permutations
from typing import Any

import msgspec
import pytest

from agents.core.registry import Kind
from agents.kinds import ENTITY, SHIPPED, SYNC
from service.status.rows import RUN_COLUMNS, StatusRows, lost_rows, status_rows, when
from tables.changelog import tombstone_headers
from tables.kinds.entity import EntityState
from tables.kinds.sync import Child, SyncState
from tables.row import HistoryEntry, Row, encode_row
from tests.counter.kind import WITH_COUNTER
from tests.engine.broker import LogRecord
from tests.engine.clock import T0
from topics.catalog import CHANGELOG

MAIN = SyncState(
    org="acme", adapter="toy", type="full", run=T0, request="r", started_at=T0,
    children={"a": Child("done", pages=2, records=8, rejected=1), "b": Child("done", pages=1, records=3)},
)  # fmt: skip
PET = EntityState(
    org="acme", adapter="toy", entity="a.pet", type="full", mode="chain", parent=MAIN.key, parent_run=T0, run=T0 + 1,
    started_at=T0, units=3, pages=3, records=11, error="retryable", error_reason="503", reason="gone", status="failed",
    ended_at=T0 + 9,
)  # fmt: skip


def entry(number: int, request_id: str = "", run: int = 0) -> HistoryEntry:
    return HistoryEntry(number, T0 + number, f"cause-{number}", f"event {number}", request_id, run)


def record(state: SyncState | EntityState | None, seq: int = 1, epoch: int = 1, *history: HistoryEntry) -> LogRecord:
    row = Row[Any](epoch=epoch, seq=seq, state=state, history=history or (entry(seq),))
    return LogRecord(CHANGELOG, 0, 0, 0, state.key.encode() if state else b"x", encode_row(row), ())


def tombstone(epoch: int, seq: int) -> LogRecord:
    return LogRecord(CHANGELOG, 0, 0, 0, MAIN.key.encode(), None, tombstone_headers(epoch, seq))


def run_rows(*records: LogRecord) -> list[dict[str, object]]:
    return [dict(zip(RUN_COLUMNS, values, strict=True)) for values in status_rows(SHIPPED, records).runs]


def test_the_row_of_a_sync_adds_up_its_children() -> None:
    (row,) = run_rows(record(MAIN, seq=4, epoch=3))
    assert msgspec.json.decode(str(row.pop("state")), type=SyncState, strict=True) == MAIN
    details = {"adapter": "toy", "type": "full", "request": "r", "pages": 3, "records": 11, "rejected": 1}
    assert msgspec.json.decode(str(row.pop("details"))) == details
    assert row == {
        "run_id": MAIN.run_id, "kind": SYNC.name, "workflow": MAIN.key, "parent_run_id": "", "org": "acme",
        "status": "running", "reason": "", "started_at": when(T0), "ended_at": None, "epoch": 3, "seq": 4,
    }  # fmt: skip


def test_the_row_of_an_entity_names_the_sync_that_it_belongs_to() -> None:
    (row,) = run_rows(record(PET))
    assert (row["run_id"], row["kind"], row["parent_run_id"]) == (PET.run_id, ENTITY.name, MAIN.run_id)
    assert (row["status"], row["reason"], row["ended_at"]) == ("failed", "gone", when(T0 + 9))
    assert msgspec.json.decode(str(row["details"])) == {
        "adapter": "toy", "entity": "a.pet", "type": "full", "error": "503", "units": 3, "total_units": None,
        "pages": 3, "records": 11, "rejected": 0,
    }  # fmt: skip


def test_the_history_becomes_the_timeline_with_each_entry_once() -> None:
    accepted = entry(1, "r", T0)
    rows = status_rows(SHIPPED, [record(MAIN, 1, 1, accepted), record(MAIN, 2, 1, accepted, entry(2, "queued"))])
    assert rows.timeline == tuple(
        (MAIN.key, when(T0 + number), number, f"cause-{number}", f"event {number}", request, run)
        for number, request, run in ((1, "r", MAIN.run_id), (2, "queued", ""))
    )


@pytest.mark.parametrize("order", list(permutations([(1, 8), (1, 9), (2, 3)])))
def test_the_newest_record_of_a_run_counts_in_any_order(order: list[tuple[int, int]]) -> None:
    records = [record(MAIN, seq, epoch) for epoch, seq in order]
    assert [row["seq"] for row in run_rows(*records)] == [3]
    assert len(status_rows(SHIPPED, records).timeline) == 3


def test_a_record_without_a_state_has_no_rows() -> None:
    assert status_rows(SHIPPED, [record(None)]) == StatusRows((), ())


def test_a_workflow_that_left_the_table_is_named_with_the_highest_guard() -> None:
    rows = status_rows(SHIPPED, [tombstone(2, 9), tombstone(2, 8), record(MAIN, seq=3)])
    assert (rows.retired, len(rows.runs)) == (((MAIN.key, 2, 9),), 1)


def test_a_run_that_nobody_continues_has_failed() -> None:
    rows = lost_rows(SHIPPED, [MAIN], "gone", T0 + 5)
    (row,) = [dict(zip(RUN_COLUMNS, values, strict=True)) for values in rows.runs]
    assert (row["status"], row["reason"], row["ended_at"], row["epoch"]) == ("failed", "gone", when(T0 + 5), 0)


@pytest.mark.parametrize("kind", WITH_COUNTER.kinds.values(), ids=WITH_COUNTER.kinds)
def test_runs_of_each_kind_can_fail(kind: Kind[Any]) -> None:
    assert kind.transitions["failed"] == ()


def test_no_time_is_none() -> None:
    assert when(0) is None
    assert when(1_500) == datetime(1970, 1, 1, 0, 0, 1, 500_000, tzinfo=UTC)
