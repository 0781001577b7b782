"""Explanation of a run: what each entity waits for, since when, and what happens next. Pure; times are Unix ms."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from agents.deciders.entity.decider import CLOSE_DEADLINE_MS
from agents.deciders.entity.window import LEASE_DEADLINE_MS
from service.read_model.progress import ACTIVE, BAD, PHASES, Phase, newest_states, phase_of, reason_of
from service.read_model.times import age, span
from service.status.store import TimelineEntry
from tables.kinds.entity import EntityState, Lease
from tables.kinds.sync import Child, SyncState
from topics.ids import kind_of
from topics.kinds import entity

LATE_MS = 5_000  # a deadline that passed longer ago is overdue
QUIET_MS = 15_000  # a lease reports within seconds, a close at once, unless they wait for something
READING_WAITS_FOR = "for its turn under the API's limit, for the API, for the database, or for a fetcher that runs"
CLOSING_WAITS_FOR = "for the database, or for a fetcher that runs"
RUN_NEXT = "the running entities are asked for their state unless one reports its end"
NAMED_MAX = 3  # entities that the run's own sentence names; the others are counted
TIMELINE_MAX = 15


@dataclass(frozen=True, slots=True)
class Need:
    """An entity that must be done (hard) or have ended (soft) before another one starts."""

    entity: str
    kind: Literal["hard", "soft"]
    phase: Phase


@dataclass(frozen=True, slots=True)
class EntityReason:
    """An entity's wait and next step. `next_at` is the time of `next`, 0 if that depends on others alone."""

    entity: str
    run_id: str
    phase: Phase
    waits: str
    since: int
    next: str
    next_at: int
    error: str
    needs: tuple[Need, ...]


@dataclass(frozen=True, slots=True)
class TimelineEvent:
    """A notable transition. `entity` is empty for the run itself."""

    at: int
    entity: str
    event: str
    cause: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """`queued` are the requests for later runs; `entities` those that have not ended, and those that ended badly."""

    run_id: str
    workflow: str
    request: str
    status: str
    sentence: str
    started_at: int
    ended_at: int
    next: str
    next_at: int
    queued: tuple[str, ...]
    entities: tuple[EntityReason, ...]
    timeline: tuple[TimelineEvent, ...]


def explain(
    sync: SyncState,
    entities: Sequence[EntityState],
    timelines: Mapping[str, Sequence[TimelineEntry]],
    read_under: Mapping[str, str],
    now: int,
) -> Explanation:
    """`timelines` by workflow; `read_under` names the parent of each entity that is read per row of another one."""
    states = newest_states(sync, entities)
    reasons = _Run(sync, states, _phases(sync, states), read_under, now).reasons()
    queue = f"{len(sync.queue)} queued requests start one after another" if sync.queue else ""
    return Explanation(
        run_id=sync.run_id,
        workflow=sync.key,
        request=sync.request,
        status=sync.status,
        sentence=_sentence(sync, reasons, now),
        started_at=sync.started_at,
        ended_at=sync.ended_at,
        next=queue if sync.has_ended else _late(RUN_NEXT, sync.due, now),
        next_at=0 if sync.has_ended else sync.due,
        queued=sync.queue,
        entities=reasons,
        timeline=_timeline(sync, timelines, now),
    )


def timeline_workflows(sync: SyncState, entities: Sequence[EntityState], limit: int) -> list[str]:
    """The workflows whose timelines are shown: the run's own, then those of active and bad entities, up to `limit`."""
    states = newest_states(sync, entities)
    phases = _phases(sync, states)
    shown = [name for phase in (*ACTIVE, *BAD) for name in phases if phases[name] == phase and name in states]
    return [sync.key, *(states[name].key for name in shown)][:limit]


@dataclass(frozen=True, slots=True)
class _Run:
    """A run in progress and its entities, by name."""

    sync: SyncState
    states: Mapping[str, EntityState]
    phases: Mapping[str, Phase]
    read_under: Mapping[str, str]
    now: int

    def reasons(self) -> tuple[EntityReason, ...]:
        names = [name for name, phase in self.phases.items() if phase != "done"]
        return tuple(self._reason(name) for name in sorted(names, key=lambda name: PHASES.index(self.phases[name])))

    def _reason(self, name: str) -> EntityReason:
        child, state = self.sync.children[name], self.states.get(name)
        needs = self._needs(child)
        waits, next_, next_at = self._waits(name, child, state, needs)
        return EntityReason(
            entity=name,
            run_id=state.run_id if state else child.run_id,
            phase=self.phases[name],
            waits=waits,
            since=child.ended_at or child.started_at or self.sync.started_at,
            next=_late(next_, next_at, self.now),
            next_at=next_at,
            error=self._root(name) if child.status == "blocked" else reason_of(child, state),
            needs=needs,
        )

    def _waits(self, name: str, child: Child, state: EntityState | None, needs: Sequence[Need]) -> tuple[str, str, int]:
        """The wait, the next step, and its time."""
        if child.has_ended:
            return "", "", 0
        if child.status == "waiting":
            named = ", ".join(f"{need.entity} ({need.kind}, {need.phase})" for need in needs)
            return f"waits for {named}", "starts when each hard one is done and each soft one has ended", 0
        if state is not None and not state.has_ended:
            return self._closing(state) if state.status == "finishing" else self._fetching(name, state)
        waits = "was requested to start and has not started yet"
        if state is not None:
            waits = f"has ended ({state.status}); the run does not know it yet"
        return waits, "it is asked again unless it reports first", self.sync.due

    def _closing(self, state: EntityState) -> tuple[str, str, int]:
        last, quiet = self._last_report(state, CLOSE_DEADLINE_MS, CLOSING_WAITS_FOR)
        waits = f"waits for the database to close its run as {state.outcome} ({last})"
        return waits, f"the close is sent again {quiet}", state.due

    def _fetching(self, name: str, state: EntityState) -> tuple[str, str, int]:
        out = [lease for lease in state.leases if not lease.resume_at]
        backing_off = [lease for lease in state.leases if lease.resume_at]
        last, quiet = self._last_report(state, LEASE_DEADLINE_MS, READING_WAITS_FOR)
        reads = f"reads {self._units(name, out)} ({len(out)} {'lease' if len(out) == 1 else 'leases'} out"
        if not backing_off:
            return f"{reads}, {last})", f"the leases are sent again {quiet}", state.due
        waits = f"backs off before it reads {self._units(name, backing_off)} again"
        attempt = max(lease.attempt for lease in backing_off)
        begins_at = min(lease.resume_at for lease in backing_off)
        return f"{reads}), {waits}" if out else waits, f"attempt {attempt} begins", begins_at

    def _units(self, name: str, leases: Sequence[Lease]) -> str:
        """The numbers of the pages or, below a parent, of the parents."""
        parent = self.read_under.get(name)
        unit = "parent" if parent else "page"
        is_one = len(leases) == 1 and leases[0].units == 1
        return f"{unit if is_one else unit + 's'} {' and '.join(_ranges(leases))}" + (f" of {parent}" if parent else "")

    def _last_report(self, state: EntityState, deadline_ms: int, causes: str) -> tuple[str, str]:
        """The age of the last report, and the condition of the next step. Each report and each request sets the
        deadline anew. The journal does not show what a fetcher waits for; after QUIET_MS the causes are named.
        """
        at = state.due - deadline_ms
        quiet = f"; after so long the entity can only wait {causes}" if self.now - at > QUIET_MS else ""
        return f"last report or request {age(at, self.now)}", f"unless there is a report first{quiet}"

    def _needs(self, child: Child) -> tuple[Need, ...]:
        """Those that are not met."""
        if child.status not in ("waiting", "blocked"):
            return ()
        hard = [Need(name, "hard", self.phases[name]) for name in child.hard if self.phases[name] != "done"]
        soft = [name for name in child.soft if not self.sync.children[name].has_ended]
        return (*hard, *(Need(name, "soft", self.phases[name]) for name in soft))

    def _root(self, name: str) -> str:
        """The entity that failed first, found along the chain of blocked ones."""
        child = self.sync.children[name]
        for _ in range(len(self.sync.children)):
            bad = [need for need in child.hard if self.phases[need] in BAD]
            if child.status != "blocked" or not bad:
                break
            name, child = bad[0], self.sync.children[bad[0]]
        return f"{name} {child.status}" + (f": {child.reason}" if child.reason else "")


def _phases(sync: SyncState, states: Mapping[str, EntityState]) -> dict[str, Phase]:
    return {name: phase_of(sync, child, states.get(name)) for name, child in sync.children.items()}


def _late(next_: str, due: int, now: int) -> str:
    return f"{next_}: that is overdue, does a worker run?" if due and now - due > LATE_MS else next_


def _sentence(sync: SyncState, reasons: Sequence[EntityReason], now: int) -> str:
    if sync.has_ended:
        took = span((sync.ended_at - sync.started_at) / 1000)
        records = sum(child.records for child in sync.children.values())
        ended = f"{sync.status} after {took}, {records:,} records"
        return f"{ended}: {sync.reason}" if sync.reason else ended
    active = [one for one in reasons if one.phase in ACTIVE]
    waiting = sum(one.phase == "waiting" for one in reasons)
    named = "; ".join(f"{one.entity} {_short(one, now)}" for one in active[:NAMED_MAX])
    more = f"; and {len(active) - NAMED_MAX} more" if len(active) > NAMED_MAX else ""
    behind = f"; {waiting} more can start after those" if waiting else ""
    return f"waits for {len(active)} {'entity' if len(active) == 1 else 'entities'}: {named}{more}{behind}"


def _short(one: EntityReason, now: int) -> str:
    if one.phase != "retrying":
        return one.waits
    return f"{one.waits} ({age(one.next_at, now)}: {one.error})"


def _timeline(sync: SyncState, timelines: Mapping[str, Sequence[TimelineEntry]], now: int) -> tuple[TimelineEvent, ...]:
    """The newest entries of this run, the newest last."""
    until = sync.ended_at or now
    found = [
        TimelineEvent(int(entry.at.timestamp() * 1000), _entity_of(workflow), entry.event, entry.cause)
        for workflow, entries in timelines.items()
        for entry in entries
    ]
    of_run = [one for one in found if sync.started_at <= one.at <= until]
    return tuple(sorted(of_run, key=lambda one: one.at)[-TIMELINE_MAX:])


def _entity_of(workflow: str) -> str:
    """The entity that a workflow reads; empty for a main sync."""
    return entity.KEY.parse(workflow)["entity"] if kind_of(workflow) == entity.KEY.kind else ""


def _ranges(leases: Sequence[Lease]) -> list[str]:
    """First and last unit of each lease, in order; adjacent leases are joined."""
    joined: list[tuple[int, int]] = []
    for lease in sorted(leases, key=lambda one: one.first):
        first = joined.pop()[0] if joined and joined[-1][1] == lease.first else lease.first
        joined.append((first, lease.end))
    return [f"{first:,}" if first + 1 == end else f"{first:,} to {end - 1:,}" for first, end in joined]
