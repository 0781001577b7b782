"""From a workflow's record to the rows that tell of it. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from tables.catalog import State
from tables.kinds.entity import EntityState
from tables.kinds.sync import SyncState
from tables.row import Row
from topics.ids import run_id

Values = tuple[object, ...]

SYNC_COLUMNS = (
    "run_id", "workflow", "org", "adapter", "type", "request", "status", "reason", "started_at", "ended_at",
    "pages", "records", "rejected", "generation", "seq", "state",
)  # fmt: skip
ENTITY_COLUMNS = (
    "run_id", "workflow", "sync_run_id", "org", "adapter", "entity", "type", "status", "reason", "error",
    "started_at", "ended_at", "units", "total_units", "pages", "records", "rejected", "generation", "seq", "state",
)  # fmt: skip
TIMELINE_COLUMNS = ("workflow", "at", "seq", "cause", "note")


@dataclass(frozen=True, slots=True)
class StatusRows:
    """Rows for the three tables, in the order of their columns; at most one per run."""

    syncs: tuple[Values, ...]
    entities: tuple[Values, ...]
    timeline: tuple[Values, ...]

    @property
    def workflows(self) -> Mapping[str, list[object]]:
        """The workflows that are told of, by table."""
        return {
            "sluice_sync_runs": [values[SYNC_COLUMNS.index("workflow")] for values in self.syncs],
            "sluice_entity_runs": [values[ENTITY_COLUMNS.index("workflow")] for values in self.entities],
        }


def status_rows(records: Iterable[Row[State]]) -> StatusRows:
    """What records of the journal say. Of those of one run the newest counts, wherever it stands: a frozen process
    may have written after its successor."""
    newest: dict[str, tuple[Row[State], State]] = {}
    timeline: dict[Values, None] = {}
    for row in records:
        if (state := row.state) is None:
            continue
        known = newest.get(state.run_id)
        if known is None or (row.generation, row.seq) > (known[0].generation, known[0].seq):
            newest[state.run_id] = (row, state)
        for entry in row.trail:
            timeline[state.key, when(entry.at), entry.seq, entry.cause, entry.note] = None
    syncs = tuple(_sync(row, state) for row, state in newest.values() if isinstance(state, SyncState))
    entities = tuple(_entity(row, state) for row, state in newest.values() if isinstance(state, EntityState))
    return StatusRows(syncs, entities, tuple(timeline))


def when(ms: int) -> datetime | None:
    """Unix ms as a time; 0 is none."""
    return datetime.fromtimestamp(ms / 1000, UTC) if ms else None


def _sync(row: Row[State], state: SyncState) -> Values:
    children = state.children.values()
    return (
        state.run_id,
        state.key,
        state.org,
        state.adapter,
        state.type,
        state.request,
        state.status,
        state.reason,
        when(state.started_at),
        when(state.ended_at),
        sum(child.pages for child in children),
        sum(child.records for child in children),
        sum(child.rejected for child in children),
        row.generation,
        row.seq,
        msgspec.json.encode(state).decode(),
    )


def _entity(row: Row[State], state: EntityState) -> Values:
    return (
        state.run_id,
        state.key,
        run_id(state.parent, state.parent_run),
        state.org,
        state.adapter,
        state.entity,
        state.type,
        state.status,
        state.reason,
        state.error_reason,
        when(state.started_at),
        when(state.ended_at),
        state.units,
        state.total_units,
        state.pages,
        state.records,
        state.rejected,
        row.generation,
        row.seq,
        msgspec.json.encode(state).decode(),
    )
