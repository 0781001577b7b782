"""Rows of the status tables, from workflow records of the journal. Pure, and the same for each kind of workflow."""

from collections.abc import Container, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from agents.core.registry import Registry
from tables.changelog import ChangelogRecord, guard_in
from tables.logs import KEY as LOGS_KEY
from tables.requests import is_request_log
from tables.row import GUARD, HistoryEntry, Row
from topics.ids import run_id

Values = tuple[object, ...]

RUN_COLUMNS = (
    "run_id", "kind", "workflow", "parent_run_id", "org", "status", "reason", "started_at", "ended_at", "details",
    "epoch", "seq", "state",
)  # fmt: skip
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class StatusRows:
    """Rows for both tables, in the order of their columns; at most one per run.

    `retired` are the workflows that left the table, with the epoch and seq at which they did.
    """

    runs: tuple[Values, ...]
    timeline: tuple[Values, ...]
    retired: tuple[tuple[str, int, int], ...] = ()

    @property
    def workflows(self) -> list[object]:
        return self.column("workflow")

    def column(self, name: str) -> list[object]:
        """The values of the runs in one of RUN_COLUMNS."""
        return [values[RUN_COLUMNS.index(name)] for values in self.runs]

    def done(self, kinds: Container[object]) -> list[object]:
        """Ids of the runs of these kinds that are done."""
        rows = zip(self.column("run_id"), self.column("kind"), self.column("status"), strict=True)
        return [run for run, kind, status in rows if status == "done" and kind in kinds]

    @property
    def run_ids(self) -> list[object]:
        return [values[RUN_COLUMNS.index("run_id")] for values in self.runs]


def status_rows(registry: Registry, records: Iterable[ChangelogRecord]) -> StatusRows:
    """Rows for records of the journal. The newest record of a run counts, which is not always the last: a frozen
    process may have written after its successor."""
    newest: dict[str, Row[Any]] = {}
    timeline: dict[Values, None] = {}
    retired: dict[str, tuple[int, int]] = {}
    for record in records:
        key, guard = record.key or b"", guard_in(record)
        if is_request_log(key) or key == LOGS_KEY:
            continue
        if record.value is None:
            if guard is not None:
                retired[key.decode()] = max(GUARD.unpack(guard), retired.get(key.decode(), (0, 0)))
            continue
        row = registry.read_row(record.value)
        if (state := row.state) is None:
            continue
        known = newest.get(state.run_id)
        if known is None or (row.epoch, row.seq) > (known.epoch, known.seq):
            newest[state.run_id] = row
        for entry in row.history:
            timeline[timeline_values(state.key, entry)] = None
    runs = tuple(_run_values(registry, row) for row in newest.values())
    return StatusRows(runs, tuple(timeline), tuple((key, *guard) for key, guard in retired.items()))


def lost_rows(registry: Registry, states: Iterable[Any], reason: str, at: int) -> StatusRows:
    """Rows for runs that nobody continues, since their journal is gone (`at` in Unix ms): they have failed."""
    ended = (msgspec.structs.replace(state, status="failed", reason=reason, ended_at=at) for state in states)
    return StatusRows(tuple(_run_values(registry, Row[Any](state=state)) for state in ended), ())


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
