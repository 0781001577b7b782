"""Progress of runs: published states in, views with rates and estimates out. Pure; the caller passes both times."""

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from tables.kinds.entity import EntityState
from tables.kinds.sync import Child, SyncState, SyncStatus

RATE_WINDOW_SECONDS = 10.0  # a rate covers so many seconds up to now
SAMPLES_MAX = 64  # kept per run; with more, the oldest is dropped and the window is shorter

Phase = Literal["retrying", "running", "finishing", "failed", "blocked", "cancelled", "done", "waiting"]
ACTIVE: tuple[Phase, ...] = ("retrying", "running", "finishing")
BAD: tuple[Phase, ...] = ("failed", "blocked", "cancelled")
ENDED: tuple[Phase, ...] = (*BAD, "done")
PHASES: tuple[Phase, ...] = (*ACTIVE, *ENDED, "waiting")  # the order in which people see phases
UNREAD: tuple[Phase, ...] = ("waiting", "blocked", "cancelled")  # shown with the reason instead of pages and rates


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A run as it was published at one time: `at` in monotonic seconds, `now` in Unix ms.

    `missing` are the entities whose rows the database lost after they were done.
    """

    at: float
    now: int
    sync: SyncState
    entities: tuple[EntityState, ...]
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EntityView:
    """One entity of a run. Times are Unix ms, 0: none. Unknown figures are None.

    `done_part`: the part that is read, 0 to 1. `reason`: the cause of a bad end, or the last error. `resume_at`: when
    the next attempt begins. `waits_for`: the entities that must end first.
    """

    name: str
    phase: Phase
    pages: int
    pages_total: int | None
    records: int
    rejected: int
    done_part: float | None
    records_per_second: float | None
    eta_seconds: float | None
    started_at: int
    ended_at: int
    reason: str
    resume_at: int
    waits_for: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RunView:
    """A run with its totals. Entities are in the order of PHASES, those that ended last first.

    `missing` are those whose rows the database lost after they were done.
    """

    run_id: str
    workflow: str
    org: str
    adapter: str
    type: str
    request: str
    status: SyncStatus
    reason: str
    started_at: int
    ended_at: int
    elapsed_seconds: float
    quiet_seconds: float
    pages: int
    records: int
    rejected: int
    records_per_second: float
    counts: Mapping[Phase, int]
    entities: tuple[EntityView, ...]
    missing: tuple[str, ...] = ()

    @property
    def has_ended(self) -> bool:
        return self.status != "running"

    @property
    def ended(self) -> int:
        """The number of entities that have ended."""
        return sum(self.counts.get(phase, 0) for phase in ENDED)

    @property
    def last_error(self) -> str:
        """The reason why the run did not complete or, while it runs, the first error of an entity."""
        errors = (f"{one.name}: {one.reason}" for one in self.entities if one.reason)
        return self.reason or next(errors, "")


@dataclass(frozen=True, slots=True)
class _Sample:
    at: float
    counts: Mapping[str, tuple[int, int]]  # units and records by entity

    @property
    def records(self) -> int:
        return sum(records for _, records in self.counts.values())


class RunProgress:
    """Views of one run, from its snapshots in order."""

    def __init__(self) -> None:
        self._samples: deque[_Sample] = deque(maxlen=SAMPLES_MAX)
        self._last: tuple[SyncState, tuple[EntityState, ...]] | None = None
        self._changed_at = 0.0

    def view(self, snapshot: Snapshot) -> RunView:
        if self._last != (snapshot.sync, snapshot.entities):
            self._last = (snapshot.sync, snapshot.entities)
            self._changed_at = snapshot.at
        states = newest_states(snapshot.sync, snapshot.entities)
        self._remember(_Sample(snapshot.at, {name: (one.units, one.records) for name, one in states.items()}))
        children = snapshot.sync.children.items()
        return self._run(snapshot, [self._entity(snapshot, name, child, states.get(name)) for name, child in children])

    def _remember(self, sample: _Sample) -> None:
        self._samples.append(sample)
        while len(self._samples) > 2 and self._samples[1].at <= sample.at - RATE_WINDOW_SECONDS:
            self._samples.popleft()

    def _run(self, snapshot: Snapshot, views: list[EntityView]) -> RunView:
        sync = snapshot.sync
        elapsed = _seconds(sync.started_at, sync.ended_at or snapshot.now)
        records = sum(one.records for one in views)
        moved = self._samples[-1].records - self._samples[0].records
        return RunView(
            run_id=sync.run_id,
            workflow=sync.key,
            org=sync.org,
            adapter=sync.adapter,
            type=sync.type,
            request=sync.request,
            status=sync.status,
            reason=sync.reason,
            started_at=sync.started_at,
            ended_at=sync.ended_at,
            elapsed_seconds=elapsed,
            quiet_seconds=0.0 if sync.has_ended else snapshot.at - self._changed_at,
            pages=sum(one.pages for one in views),
            records=records,
            rejected=sum(one.rejected for one in views),
            records_per_second=records / max(elapsed, 0.001) if sync.has_ended else self._rate(moved, records, elapsed),
            counts=Counter(one.phase for one in views),
            entities=tuple(sorted(views, key=lambda one: (PHASES.index(one.phase), -one.ended_at, one.name))),
            missing=snapshot.missing,
        )

    def _entity(self, snapshot: Snapshot, name: str, child: Child, state: EntityState | None) -> EntityView:
        phase = phase_of(snapshot.sync, child, state)
        elapsed = _seconds(child.started_at, child.ended_at or snapshot.now)
        # The database's totals once they are reported, before that the leases'.
        counts = (child if child.run_id or state is None else state).counts
        total = units_total(state) if state else None
        has_pages_total = state is not None and state.mode == "fan-out" and not state.has_ended
        needs = (*child.hard, *child.soft) if phase == "waiting" else ()
        leases = state.leases if state and phase == "retrying" else ()
        return EntityView(
            name=name,
            phase=phase,
            pages=counts.pages,
            pages_total=total if has_pages_total else None,
            records=counts.records,
            rejected=counts.rejected,
            done_part=1.0 if phase == "done" else state.units / total if state and total else None,
            records_per_second=self._entity_rate(phase, name, counts.records, elapsed),
            eta_seconds=self._eta(name, state, elapsed) if state and phase == "running" else None,
            started_at=child.started_at,
            ended_at=child.ended_at,
            reason=reason_of(child, state),
            resume_at=min((lease.resume_at for lease in leases if lease.resume_at), default=0),
            waits_for=tuple(need for need in needs if not snapshot.sync.children[need].has_ended),
        )

    def _entity_rate(self, phase: Phase, name: str, records: int, elapsed: float) -> float | None:
        if phase in UNREAD:
            return None
        if phase not in ACTIVE:
            return records / elapsed if elapsed else None
        return self._rate(self._moved(name)[1], records, elapsed)

    def _eta(self, name: str, state: EntityState, elapsed: float) -> float | None:
        total = units_total(state)
        rate = self._rate(self._moved(name)[0], state.units, elapsed)
        return (total - state.units) / rate if total is not None and rate else None

    def _moved(self, name: str) -> tuple[int, int]:
        """Units and records since the window's start; 0 for an entity whose run has begun anew."""
        first, last = self._samples[0].counts.get(name, (0, 0)), self._samples[-1].counts.get(name, (0, 0))
        return max(last[0] - first[0], 0), max(last[1] - first[1], 0)

    def _rate(self, moved: int, total: int, elapsed: float) -> float:
        """Per second within the window, or since the start if that is later; with one sample, the average so far."""
        window = min(self._samples[-1].at - self._samples[0].at, elapsed)
        if window:
            return max(moved, 0) / window
        return total / elapsed if elapsed else 0.0


def newest_states(sync: SyncState, entities: Iterable[EntityState]) -> dict[str, EntityState]:
    """The state of each entity of this run; of an entity whose run has begun anew, the newest."""
    states: dict[str, EntityState] = {}
    for state in entities:
        known = states.get(state.entity)
        if (state.parent, state.parent_run) == (sync.key, sync.run) and (known is None or known.run < state.run):
            states[state.entity] = state
    return states


def phase_of(sync: SyncState, child: Child, state: EntityState | None) -> Phase:
    """The entity's phase: its status in the main sync or, while that is running, what its own state shows."""
    if sync.has_ended and not child.has_ended:
        return "cancelled"  # the run was lost with its Kafka cluster
    if child.status != "running" or state is None:
        return child.status
    if state.status != "fetching":
        return "finishing"
    return "retrying" if state.error and any(lease.resume_at for lease in state.leases) else "running"


def units_total(state: EntityState) -> int | None:
    """The number of units, if known, and not less than were read: the source's total may be wrong."""
    total = state.last_unit if state.last_unit is not None else state.total_units
    return None if total is None else max(total, state.units)


def reason_of(child: Child, state: EntityState | None) -> str:
    """The cause of a bad end, or the last error."""
    if child.has_ended or state is None:
        return child.reason
    return state.reason or state.error_reason


def _seconds(start: int, end: int) -> float:
    return max(end - start, 0) / 1000 if start else 0.0
