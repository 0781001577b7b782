from datetime import UTC, datetime
from itertools import permutations

import msgspec
import pytest

from service.status.rows import ENTITY_COLUMNS, SYNC_COLUMNS, TIMELINE_COLUMNS, StatusRows, status_rows, when
from tables.catalog import State
from tables.kinds.entity import EntityState
from tables.kinds.sync import Child, SyncState
from tables.row import Row

T0 = 1_700_000_000_000
SYNC = SyncState(
    org="acme", adapter="toy", type="full", run=T0, request="r", started_at=T0,
    children={"a": Child("done", pages=2, records=8, rejected=1), "b": Child("done", pages=1, records=3)},
)  # fmt: skip
ENTITY = EntityState(
    org="acme", adapter="toy", entity="a.pet", type="full", mode="chain", parent=SYNC.key, parent_run=T0, run=T0 + 1,
    started_at=T0, units=3, pages=3, records=11, error="retryable", error_reason="503",
)  # fmt: skip


def row(state: State | None, seq: int = 1, generation: int = 1) -> Row[State]:
    return Row[State](generation=generation, seq=seq, state=state).with_event(T0 + seq, f"cause-{seq}", f"note {seq}")


def named(columns: tuple[str, ...], values: tuple[object, ...]) -> dict[str, object]:
    return dict(zip(columns, values, strict=True))


def seqs(rows: StatusRows) -> list[object]:
    return [named(SYNC_COLUMNS, values)["seq"] for values in rows.syncs]


def test_a_syncs_row_adds_up_its_children() -> None:
    (values,) = status_rows([row(SYNC)]).syncs
    told = named(SYNC_COLUMNS, values)
    assert (told["run_id"], told["pages"], told["records"], told["rejected"]) == (SYNC.run_id, 3, 11, 1)
    assert (told["started_at"], told["ended_at"]) == (when(T0), None)
    assert msgspec.json.decode(str(told["state"]), type=SyncState) == SYNC


def test_an_entitys_row_names_the_sync_that_it_belongs_to() -> None:
    (values,) = status_rows([row(ENTITY)]).entities
    told = named(ENTITY_COLUMNS, values)
    assert (told["run_id"], told["sync_run_id"], told["error"]) == (ENTITY.run_id, SYNC.run_id, "503")


def test_the_trail_becomes_the_timeline_once_however_often_it_is_told() -> None:
    twice = row(SYNC).with_event(T0 + 2, "cause-2", "note 2")
    told = [named(TIMELINE_COLUMNS, values) for values in status_rows([row(SYNC), twice]).timeline]
    assert [(entry["workflow"], entry["cause"]) for entry in told] == [(SYNC.key, "cause-1"), (SYNC.key, "cause-2")]


@pytest.mark.parametrize("order", list(permutations([(1, 8), (1, 9), (2, 3)])))
def test_of_one_run_the_newest_record_counts_wherever_it_stands(order: list[tuple[int, int]]) -> None:
    rows = status_rows(row(SYNC, seq, generation) for generation, seq in order)
    assert seqs(rows) == [3]
    assert len(rows.timeline) == 3


def test_two_runs_of_one_workflow_are_two_rows() -> None:
    later = msgspec.structs.replace(SYNC, run=T0 + 5)
    assert seqs(status_rows([row(SYNC, 1), row(later, 2)])) == [1, 2]


def test_a_record_without_a_state_says_nothing() -> None:
    assert status_rows([row(None)]) == StatusRows((), (), ())


def test_no_time_is_none() -> None:
    assert when(0) is None
    assert when(1_500) == datetime(1970, 1, 1, 0, 0, 1, 500_000, tzinfo=UTC)
