"""Rows of the status tables, from workflow records of the journal. Pure, and the same for each kind of workflow."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from agents.core.registry import Registry
from tables.row import HistoryEntry, Row
from topics.ids import run_id

Values = tuple[object, ...]

RUN_COLUMNS = (
    "run_id", "kind", "workflow", "parent_run_id", "org", "status", "reason", "started_at", "ended_at", "details",
    "epoch", "seq", "state",
)  # fmt: skip
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class StatusRows:
    """Rows for both tables, in the order of their columns; at most one per run."""

    runs: tuple[Values, ...]
    timeline: tuple[Values, ...]

    @property
    def workflows(self) -> list[object]:
        return [values[RUN_COLUMNS.index("workflow")] for values in self.runs]

    @property
    def run_ids(self) -> list[object]:
        return [values[RUN_COLUMNS.index("run_id")] for values in self.runs]


def status_rows(registry: Registry, values: Iterable[bytes]) -> StatusRows:
    """Rows for records of the journal. The newest record of a run counts, which is not always the last: a frozen
    process may have written after its successor."""
    newest: dict[str, Row[Any]] = {}
    timeline: dict[Values, None] = {}
    for value in values:
        row = registry.read_row(value)
        if (state := row.state) is None:
            continue
        known = newest.get(state.run_id)
        if known is None or (row.epoch, row.seq) > (known.epoch, known.seq):
            newest[state.run_id] = row
        for entry in row.history:
            timeline[timeline_values(state.key, entry)] = None
    return StatusRows(tuple(_run_values(registry, row) for row in newest.values()), tuple(timeline))


def timeline_values(workflow: str, entry: HistoryEntry) -> Values:
    """workflow, at, seq, cause, event, request_id and run_id."""
    run = run_id(workflow, entry.run) if entry.run else ""
    return (workflow, when(entry.at), entry.seq, entry.cause, entry.event, entry.request_id, run)


def when(ms: int) -> datetime | None:
    """Unix ms as a time; None for 0."""
    return datetime.fromtimestamp(ms / 1000, UTC) if ms else None


def _run_values(registry: Registry, row: Row[Any]) -> Values:
    state: Any = row.state
    kind = registry.kind(state.key)
    return (
        state.run_id,
        kind.name,
        state.key,
        "" if state.trace == state.run_id else state.trace,
        state.org,
        state.status,
        state.reason,
        when(state.started_at),
        when(state.ended_at),
        _encode(kind.details(state)).decode(),
        row.epoch,
        row.seq,
        _encode(state).decode(),
    )
