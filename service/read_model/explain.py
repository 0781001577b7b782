"""Explanation of a run: what each entity waits for, since when, and what happens next. Pure; times are Unix ms."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from agents.deciders.entity.decider import CLOSE_DEADLINE_MS
from agents.deciders.entity.window import LEASE_DEADLINE_MS
from service.read_model.progress import ACTIVE, BAD, PHASES, Phase, newest_states, phase_of
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
    note: str
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
    found = _Run(sync, newest_states(sync, entities), read_under, now)
    reasons = found.reasons()
    return Explanation(
        run_id=sync.run_id,
        workflow=sync.key,
        request=sync.request,
        status=sync.status,
        sentence=_sentence(sync, reasons, now),
        started_at=sync.started_at,
        ended_at=sync.ended_at,
        next=_run_next(sync, now),
        next_at=0 if sync.has_ended else sync.due,
        queued=sync.queue,
        entities=reasons,
        timeline=_timeline(sync, timelines, now),
    )


def timeline_workflows(sync: SyncState, entities: Sequence[EntityState], limit: int) -> list[str]:
    """The workflows whose timelines are shown: the run's own, then those of active and bad entities, up to `limit`."""
    states = newest_states(sync, entities)
    phases = {name: phase_of(child, states.get(name)) for name, child in sync.children.items()}
    shown = [name for phase in (*ACTIVE, *BAD) for name in phases if phases[name] == phase and name in states]
    return [sync.key, *(states[name].key for name in shown)][:limit]


class _Run:
    def __init__(
        self, sync: SyncState, states: Mapping[str, EntityState], read_under: Mapping[str, str], now: int
    ) -> None:
        self._sync = sync
        self._states = states
        self._read_under = read_under
        self._now = now
        self._phases = {name: phase_of(child, states.get(name)) for name, child in sync.children.items()}

    def reasons(self) -> tuple[EntityReason, ...]:
        names = [name for name, phase in self._phases.items() if phase != "done"]
        return tuple(self._reason(name) for name in sorted(names, key=lambda name: PHASES.index(self._phases[name])))

    def _reason(self, name: str) -> EntityReason:
        child, state = self._sync.children[name], self._states.get(name)
        waits, next_, next_at = self._waits(name, child, state)
        return EntityReason(
            entity=name,
            run_id=state.run_id if state else child.run_id,
            phase=self._phases[name],
            waits=waits,
            since=child.ended_at or child.started_at or self._sync.started_at,
            next=next_,
            next_at=next_at,
            error=self._error(name, child, state),
            needs=self._needs(child),
        )

    def _waits(self, name: str, child: Child, state: EntityState | None) -> tuple[str, str, int]:
        """The wait, the next step, and its time."""
        if child.has_ended:
            return "", "", 0
        if child.status == "waiting":
            needs = ", ".join(f"{need.entity} ({need.kind}, {need.phase})" for need in self._needs(child))
            return f"waits for {needs}", "starts when each hard one is done and each soft one has ended", 0
        if state is None:
            return self._unreported("was requested to start and has not started yet")
        if state.has_ended:
            return self._unreported(f"has ended ({state.status}); the run does not know it yet")
        if state.status == "finishing":
            last = self._last(state, CLOSE_DEADLINE_MS)
            waits = f"waits for the database to close its run as {state.outcome} ({last})"
            next_ = self._quiet(state, CLOSE_DEADLINE_MS, "the close is sent again", CLOSING_WAITS_FOR)
            return waits, self._late(state.due, next_), state.due
        return self._fetching(name, state)

    def _unreported(self, waits: str) -> tuple[str, str, int]:
        return waits, self._late(self._sync.due, "it is asked again unless it reports first"), self._sync.due

    def _fetching(self, name: str, state: EntityState) -> tuple[str, str, int]:
        out = [lease for lease in state.leases if not lease.resume_at]
        backing_off = [lease for lease in state.leases if lease.resume_at]
        parts = []
        if out:
            count = f"{len(out)} {'lease' if len(out) == 1 else 'leases'} out"
            last = "" if backing_off else f", {self._last(state, LEASE_DEADLINE_MS)}"
            parts.append(f"reads {self._units(name, out)} ({count}{last})")
        if backing_off:
            parts.append(f"backs off before it reads {self._units(name, backing_off)} again")
            attempt = max(lease.attempt for lease in backing_off)
            return ", ".join(parts), self._late(state.due, f"attempt {attempt} begins"), state.due
        next_ = self._quiet(state, LEASE_DEADLINE_MS, "the leases are sent again", READING_WAITS_FOR)
        return ", ".join(parts), self._late(state.due, next_), state.due

    def _units(self, name: str, leases: Sequence[Lease]) -> str:
        """The numbers of the pages or, below a parent, of the parents."""
        parent = self._read_under.get(name)
        ranges = " and ".join(_range(first, last) for first, last in _joined(leases))
        one = "parent" if parent else "page"
        is_one = len(leases) == 1 and leases[0].units == 1
        return f"{one if is_one else one + 's'} {ranges}" + (f" of {parent}" if parent else "")

    def _last(self, state: EntityState, deadline_ms: int) -> str:
        """Each report and each request sets the deadline anew."""
        return f"last report or request {age(state.due - deadline_ms, self._now)}"

    def _quiet(self, state: EntityState, deadline_ms: int, next_: str, causes: str) -> str:
        """The journal does not show what a fetcher waits for; after QUIET_MS the possible causes are named."""
        next_ = f"{next_} unless there is a report first"
        is_quiet = self._now - (state.due - deadline_ms) > QUIET_MS
        return f"{next_}; after so long the entity can only wait {causes}" if is_quiet else next_

    def _late(self, due: int, next_: str) -> str:
        if due and self._now - due > LATE_MS:
            return f"{next_}: that is overdue, does a worker run?"
        return next_

    def _needs(self, child: Child) -> tuple[Need, ...]:
        """Those that are not met."""
        if child.status not in ("waiting", "blocked"):
            return ()
        hard = [Need(name, "hard", self._phases[name]) for name in child.hard if self._phases[name] != "done"]
        ended = {name for name, child in self._sync.children.items() if child.has_ended}
        return (*hard, *(Need(name, "soft", self._phases[name]) for name in child.soft if name not in ended))

    def _error(self, name: str, child: Child, state: EntityState | None) -> str:
        if child.status == "blocked":
            return self._root(name)
        if child.has_ended or state is None:
            return child.reason
        return state.reason or state.error_reason

    def _root(self, name: str) -> str:
        """The entity that failed first, found along the chain of blocked ones."""
        child = self._sync.children[name]
        for _ in range(len(self._sync.children)):
            bad = [need for need in child.hard if self._phases[need] in BAD]
            if child.status != "blocked" or not bad:
                break
            name, child = bad[0], self._sync.children[bad[0]]
        return f"{name} {child.status}" + (f": {child.reason}" if child.reason else "")


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


def _run_next(sync: SyncState, now: int) -> str:
    if sync.has_ended:
        return f"{len(sync.queue)} queued requests start one after another" if sync.queue else ""
    if now - sync.due > LATE_MS:
        return "the running entities are asked for their state: that is overdue, does a worker run?"
    return "the running entities are asked for their state unless one reports its end"


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


def _joined(leases: Sequence[Lease]) -> list[tuple[int, int]]:
    """First and last unit of each lease, in order; adjacent leases are joined."""
    joined: list[tuple[int, int]] = []
    for lease in sorted(leases, key=lambda one: one.first):
        first, last = lease.first, lease.end - 1
        if joined and joined[-1][1] + 1 == first:
            first = joined.pop()[0]
        joined.append((first, last))
    return joined


def _range(first: int, last: int) -> str:
    return f"{first:,}" if first == last else f"{first:,} to {last:,}"
