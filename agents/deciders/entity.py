"""One entity of one organisation: leases pages, counts what is committed, closes the run, tells its parent."""

from collections.abc import Mapping, Sequence

import msgspec

from agents.core.decision import Decision
from agents.core.retry import backoff_seconds
from manifests.entity import Adapter, Entity
from tables.kinds.entity import LEASES_OUT_MAX, EntityState, Lease, Mode
from topics.commands import (
    ActionComplete,
    CancelRun,
    ChildDone,
    Command,
    FetchPages,
    FinishRun,
    PageDone,
    RetryNow,
    RunOutcome,
    StaleRun,
    StartEntity,
    TimerDue,
    Totals,
)
from topics.errors import Rejected
from topics.ids import parse_key

LEASE_FIRST_UNITS = 32  # nothing is known yet; a fetcher ends a lease by itself when its time is up
LEASE_TARGET_MS = 1_000  # a lease is as many units as took about this long
LEASE_GROWTH_MAX = 8  # a lease is at most so many times as large as the one before
LEASE_UNITS_MAX = 500
PARENTS_PER_LEASE_MAX = 100
LEASE_DEADLINE_MS = 120_000  # a lease that told nothing for so long is asked for again
FINISH_DEADLINE_MS = 60_000
RETRY_FIRST_SECONDS = 5.0
RETRY_LONGEST_SECONDS = 300.0
LEASE_ATTEMPTS_MAX = 20  # about an hour and a quarter of an API that is down; then the entity fails
FENCED_MAX = 3  # how often a run may take a newer number, since the database knew better; then it fails
RETENTION_MS = 8 * 86_400_000


class EntityDecider:
    """Decides for `entity-sync:{org}:{adapter}:{entity}:{type}`."""

    def __init__(self, adapters: Mapping[str, Adapter]) -> None:
        self._adapters = adapters

    def decide(self, state: EntityState | None, command: Command, at: int) -> Decision[EntityState]:
        match command:
            case StartEntity():
                return self._start(state, command, at)
            case PageDone() if state is not None and command.run == state.run:
                return self._page_done(state, command, at)
            case ActionComplete() if state is not None and command.run == state.run:
                return _finished(state, command, at)
            case CancelRun() if state is not None and command.run == state.parent_run:
                return _finishing(state, "cancelled", command.reason, at)
            case TimerDue() if state is not None and command.due == state.due:
                return self._timer_due(state, at)
            case RetryNow() if state is not None:
                return self._retry_now(state, command.request_id, at)
            case PageDone() | ActionComplete() | CancelRun() | RetryNow() | TimerDue():
                return Decision(state)  # late, or of another run
        raise Rejected(f"an entity takes no {type(command).__name__}")

    def pending_commands(self, state: EntityState) -> Sequence[Command]:
        match state.status:
            case "fetching":
                return [_fetch(state, lease) for lease in state.leases if not lease.resume_at]
            case "finishing":
                return [_finish(state)]
        return [_child_done(state)]

    def _start(self, state: EntityState | None, command: StartEntity, at: int) -> Decision[EntityState]:
        if state is not None and command.parent_run < state.parent_run:
            return Decision(state, (_stale_run(command, state),))
        if state is not None and command.parent_run == state.parent_run:
            return Decision(state, (_child_done(state),) if state.has_ended else ())
        name = parse_key(command.workflow)
        entity = self._entity(name.adapter, name.entity)
        if entity is None:
            return Decision(state, (_unknown(command, name.adapter, name.entity),))
        fresh = EntityState(
            org=name.org,
            adapter=name.adapter,
            entity=name.entity,
            type=name.type,
            mode=_mode(entity),
            parent=command.parent,
            parent_run=command.parent_run,
            run=max(state.run + 1, at) if state else at,
            started_at=at,
            size=LEASE_FIRST_UNITS,
        )
        return self._leasing(fresh, at, 1, "started")

    def _entity(self, adapter: str, name: str) -> Entity | None:
        known = self._adapters.get(adapter)
        return known.entities.get(name) if known else None

    def _leasing(self, state: EntityState, at: int, since: int, note: str = "") -> Decision[EntityState]:
        """Fill the window and send every lease from number `since` on. Nothing out and nothing left: finish."""
        after = state
        while (lease := _next_lease(after)) is not None:
            after = after.leasing(*lease)
        if not after.leases:
            return _finishing(after, "done", "", at)
        fresh = tuple(_fetch(after, lease) for lease in after.leases if lease.number >= since and not lease.resume_at)
        return Decision(_with_deadline(after, at), fresh, note)

    def _page_done(self, state: EntityState, done: PageDone, at: int) -> Decision[EntityState]:
        lease = state.lease(done.lease, done.attempt, done.first)
        if state.status != "fetching":
            return Decision(state)  # the run is finishing already
        counted = state if lease is None else state.with_result(lease, done, self._size(state, done))
        if done.closed is not None:
            return _ended(counted, "done", done.closed, at)
        if lease is None:
            return Decision(state)  # an echo
        match done.error:
            case None:
                healthy = msgspec.structs.replace(counted, error=None, error_reason="")
                return self._leasing(healthy, at, state.next_lease)
            case "fenced":
                return self._fenced(counted, done, at)
            case "rejected":
                return _finishing(counted, "failed", done.reason, at)
            case "retryable":
                return self._again(counted, lease, done, at)

    def _size(self, state: EntityState, done: PageDone) -> int:
        """As many units as took LEASE_TARGET_MS, growing step by step."""
        if not done.units:
            return state.size
        entity = self._entity(state.adapter, state.entity)
        fitting = done.units * LEASE_TARGET_MS // max(done.elapsed_ms, 1)
        most = LEASE_UNITS_MAX if entity is None or entity.under is None else PARENTS_PER_LEASE_MAX
        return max(1, min(fitting, state.size * LEASE_GROWTH_MAX, most))

    def _again(self, state: EntityState, lease: Lease, done: PageDone, at: int) -> Decision[EntityState]:
        """Wait, then lease again what is left of it; the rest of the window goes on."""
        if lease.attempt >= LEASE_ATTEMPTS_MAX and not done.units:
            return _finishing(state, "failed", f"gave up after {lease.attempt} attempts: {done.reason}", at)
        wait = backoff_seconds(lease.attempt, RETRY_FIRST_SECONDS, RETRY_LONGEST_SECONDS, done.after_seconds)
        resume_at = at + int(wait * 1000)
        if done.units:  # it moved: what is left is a lease of its own, at its first attempt
            after = _leasing_the_rest(state, lease, done)
            later = after.leases[-1]
        else:
            after = msgspec.structs.replace(state, leases=(*state.leases, lease))
            later = msgspec.structs.replace(lease, attempt=lease.attempt + 1)
        after = after.replacing(msgspec.structs.replace(later, resume_at=resume_at))
        after = msgspec.structs.replace(after, error="retryable", error_reason=done.reason)
        return self._leasing(after, at, state.next_lease, f"unit {later.first} waits {wait:.0f} s: {done.reason}")

    def _fenced(self, state: EntityState, done: PageDone, at: int) -> Decision[EntityState]:
        """The database knows a newer or a closed run under this number: this table is older. Take a newer number than
        any that it knows: those may be of a time when the broker's clock was ahead."""
        if state.fenced >= FENCED_MAX:
            return _finishing(state, "failed", f"fenced {state.fenced} times: {done.reason}", at)
        fresh = state.anew(max(state.run + 1, (done.newest or 0) + 1, at), LEASE_FIRST_UNITS)
        return self._leasing(fresh, at, 1, f"fenced ({done.reason}); goes on as run {fresh.run_id}")

    def _retry_now(self, state: EntityState, request: str, at: int) -> Decision[EntityState]:
        """Nothing is waited out any more: every lease is sent now, or the run's end is asked for, or told, again."""
        awake = tuple(msgspec.structs.replace(lease, resume_at=0) for lease in state.leases)
        after = msgspec.structs.replace(state, leases=awake)
        if after.status == "fetching":
            after = _with_deadline(after, at)
        return Decision(after, tuple(self.pending_commands(after)), f"nudged ({request})")

    def _timer_due(self, state: EntityState, at: int) -> Decision[EntityState]:
        if state.has_ended:
            return Decision(None if at >= state.due else state)
        if state.status == "finishing":
            after = msgspec.structs.replace(state, due=at + FINISH_DEADLINE_MS)
            return Decision(
                after, tuple(self.pending_commands(after)), "the run's end was not told in time: asked again"
            )
        after, resumed = state, False
        for lease in state.leases:
            if 0 < lease.resume_at <= state.due:
                after, resumed = after.replacing(msgspec.structs.replace(lease, resume_at=0)), True
        note = "" if resumed else "no page was told in time: asked again"
        return Decision(_with_deadline(after, at), tuple(self.pending_commands(after)), note)


def _with_deadline(state: EntityState, at: int) -> EntityState:
    waits = [lease.resume_at for lease in state.leases if lease.resume_at]
    return msgspec.structs.replace(state, due=min(waits, default=at + LEASE_DEADLINE_MS))


def _leasing_the_rest(state: EntityState, lease: Lease, done: PageDone) -> EntityState:
    """Of what nobody claims to be there, nothing, if no lease is out behind it."""
    first, units = lease.first + done.units, lease.units - done.units
    if state.mode == "fan-out" and lease.end == state.next_unit:
        units = min(units, (state.total_units or lease.end) - first + 1)
        state = msgspec.structs.replace(state, next_unit=first)
    return state.leasing(first, max(units, 1), done.next_cursor)


def _mode(entity: Entity) -> Mode:
    return "fan-out" if entity.paging.style == "offset" and entity.under is None else "chain"


def _next_lease(state: EntityState) -> tuple[int, int, str | None] | None:
    """Where the next lease begins, how many units it takes and from which cursor; None if none may go out now."""
    chained = state.mode == "chain" or state.last_unit is None
    if len(state.leases) >= (1 if chained else LEASES_OUT_MAX):
        return None
    if state.last_unit is None:
        return state.next_unit, state.size, state.cursor
    if state.next_unit > state.last_unit:
        return None
    return state.next_unit, min(state.size, state.last_unit - state.next_unit + 1), None


def _finishing(state: EntityState, outcome: RunOutcome, reason: str, at: int) -> Decision[EntityState]:
    """No more leases; close the run in the database first, so that nothing is written under it afterwards."""
    if state.status != "fetching":
        return Decision(state)
    after = msgspec.structs.replace(
        state, status="finishing", outcome=outcome, reason=reason, leases=(), due=at + FINISH_DEADLINE_MS
    )
    return Decision(after, (_finish(after),), f"finishing: {outcome}" + (f", {reason}" if reason else ""))


def _finished(state: EntityState, complete: ActionComplete, at: int) -> Decision[EntityState]:
    if state.status != "finishing":
        return Decision(state)
    return _ended(state, complete.outcome, complete, at)


def _ended(state: EntityState, outcome: RunOutcome, sums: Totals | ActionComplete, at: int) -> Decision[EntityState]:
    """The database has closed the run: its sums are the truth, its outcome is what counts."""
    after = msgspec.structs.replace(
        state,
        status=outcome,
        outcome=outcome,
        leases=(),
        pages=sums.pages,
        records=sums.records,
        rejected=sums.rejected,
        ended_at=at,
        due=at + RETENTION_MS,
    )
    return Decision(after, (_child_done(after),), f"{after.status}: {after.records} records on {after.pages} pages")


def _fetch(state: EntityState, lease: Lease) -> FetchPages:
    return FetchPages(
        workflow=state.key,
        run=state.run,
        org=state.org,
        adapter=state.adapter,
        entity=state.entity,
        type=state.type,
        lease=lease.number,
        first=lease.first,
        units=lease.units,
        cursor=lease.cursor,
        attempt=lease.attempt,
        closes=len(state.leases) == 1,
    )


def _finish(state: EntityState) -> FinishRun:
    return FinishRun(workflow=state.key, run=state.run, org=state.org, adapter=state.adapter, outcome=state.outcome)


def _stale_run(command: StartEntity, state: EntityState) -> StaleRun:
    return StaleRun(workflow=command.parent, parent_run=command.parent_run, newest=state.parent_run)


def _unknown(command: StartEntity, adapter: str, entity: str) -> ChildDone:
    reason = f"{adapter} has no entity {entity!r} here; deploy the same manifests to every worker"
    return ChildDone(
        workflow=command.parent,
        parent_run=command.parent_run,
        entity=entity,
        child_run_id="",
        outcome="failed",
        reason=reason,
    )


def _child_done(state: EntityState) -> ChildDone:
    assert state.status in ("done", "failed", "cancelled")
    return ChildDone(
        workflow=state.parent,
        parent_run=state.parent_run,
        entity=state.entity,
        child_run_id=state.run_id,
        outcome=state.outcome,
        reason=state.reason,
        pages=state.pages,
        records=state.records,
        rejected=state.rejected,
    )
