"""Lifecycle of an entity's run: starts, leases pages, closes in the database, reports to its parent."""

from collections.abc import Mapping, Sequence

import msgspec

from agents.core.decision import Accepted, Decision
from agents.core.retry import CLOSE_RUN
from agents.deciders.entity import commands
from agents.deciders.entity.failures import FENCED_MAX, begin_anew, is_given_up, retry_later
from agents.deciders.entity.window import FIRST_UNITS, fill, mode_of, next_size, with_deadline
from manifests.entity import Adapter, Entity
from tables.kinds.entity import EntityState, Lease
from topics.actions import ActionComplete
from topics.command import CancelRun, Command, Counts, RetryNow, RunOutcome, TimerDue
from topics.errors import Rejected
from topics.kinds.entity import KEY, PageDone, RunClosed, StartEntity

CLOSE_DEADLINE_MS = 60_000  # a close that reported nothing for so long is sent again


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
                return self._closed(state, command, at)
            case CancelRun() if state is not None and command.run == state.parent_run:
                return _closing(state, "cancelled", command.reason, at)
            case TimerDue() if state is not None:
                return self._timer_due(state, at)
            case RetryNow() if state is not None:
                return self._retry_now(state, command.request_id, at)
            case PageDone() | ActionComplete() | CancelRun() | RetryNow() | TimerDue():
                return Decision(state)  # late, or of another run
        raise Rejected(f"an entity takes no {type(command).__name__}")

    def pending_commands(self, state: EntityState) -> Sequence[Command]:
        match state.status:
            case "fetching":
                return [commands.fetch(state, lease) for lease in state.leases if not lease.resume_at]
            case "finishing":
                return [] if state.close_at else [commands.close_run(state)]
        return [commands.child_done(state)]

    def _start(self, state: EntityState | None, command: StartEntity, at: int) -> Decision[EntityState]:
        if state is not None and command.parent_run < state.parent_run:
            return Decision(state, (commands.stale_run(command, state),))
        if state is not None and command.parent_run == state.parent_run:
            return Decision(state, (commands.child_done(state),) if state.has_ended else ())
        names = KEY.parse(command.workflow)
        entity = self._entity(names["adapter"], names["entity"])
        if entity is None:
            return Decision(state, (commands.unknown_entity(command, names["adapter"], names["entity"]),))
        fresh = EntityState(
            org=names["org"],
            adapter=names["adapter"],
            entity=names["entity"],
            type=names["type"],
            mode=mode_of(entity, names["type"]),
            parent=command.parent,
            parent_run=command.parent_run,
            run=max(state.run + 1, at) if state else at,
            started_at=at,
            size=FIRST_UNITS,
            verify=command.verify,
        )
        return self._leasing(fresh, at, 1, "started")

    def _entity(self, adapter: str, name: str) -> Entity | None:
        known = self._adapters.get(adapter)
        return known.entities.get(name) if known else None

    def _leasing(self, state: EntityState, at: int, since: int, event: str = "") -> Decision[EntityState]:
        """Fill the window and send every lease from number `since` on."""
        after = fill(state)
        fresh = [lease for lease in after.leases if lease.number >= since and not lease.resume_at]
        return Decision(with_deadline(after, at), tuple(commands.fetch(after, lease) for lease in fresh), event)

    def _page_done(self, state: EntityState, done: PageDone, at: int) -> Decision[EntityState]:
        if state.status != "fetching":
            return Decision(state)  # the run is being closed already
        lease = state.lease(done.lease, done.attempt, done.first)
        counted = state if lease is None else self._counted(state, lease, done)
        if done.closed is not None:
            return _ended(counted, "done", done.closed, at, done.remark)
        if lease is None:
            return Decision(state)  # a duplicate
        if done.error is not None:
            return self._failed(counted, lease, done, at)
        healthy = msgspec.structs.replace(counted, error=None, error_reason="")
        return self._leasing(healthy, at, state.next_lease)

    def _counted(self, state: EntityState, lease: Lease, done: PageDone) -> EntityState:
        return state.with_result(lease, done, next_size(state, done, self._entity(state.adapter, state.entity)))

    def _failed(self, state: EntityState, lease: Lease, done: PageDone, at: int) -> Decision[EntityState]:
        match done.error:
            case "fenced":
                return self._fenced(state, done, at)
            case "retryable" if not is_given_up(lease, done):
                after, event = retry_later(state, lease, done, at)
                return self._leasing(after, at, state.next_lease, event)
            case "retryable":
                return _closing(state, "failed", f"gave up after {lease.attempt} attempts: {done.reason}", at)
        return _closing(state, "failed", done.reason, at)

    def _fenced(self, state: EntityState, done: PageDone, at: int) -> Decision[EntityState]:
        if state.fenced >= FENCED_MAX:
            return _closing(state, "failed", f"fenced {state.fenced} times: {done.reason}", at)
        fresh = begin_anew(state, done, at)
        return self._leasing(fresh, at, 1, f"fenced ({done.reason}); continues as run {fresh.run_id}")

    def _closed(self, state: EntityState, complete: ActionComplete, at: int) -> Decision[EntityState]:
        """The database has closed the run, or could not: then it is asked again, up to a maximum."""
        if state.status != "finishing":
            return Decision(state)
        if complete.error is None:
            closed = RunClosed.of(complete)
            return _ended(state, closed.outcome, closed.counts, at)
        if complete.attempt != state.close_attempt:
            return Decision(state)  # a duplicate
        if complete.error != "retryable" or CLOSE_RUN.is_exhausted(complete.attempt):
            reason = f"the run could not be closed in the database ({complete.attempt} attempts): {complete.reason}"
            failed = msgspec.structs.replace(state, reason=f"{state.reason}; {reason}" if state.reason else reason)
            return _ended(failed, "failed", state.counts, at)
        wait = CLOSE_RUN.wait_seconds(complete.attempt, complete.after_seconds)
        later = at + int(wait * 1000)
        after = msgspec.structs.replace(state, close_attempt=complete.attempt + 1, close_at=later, due=later)
        return Decision(after, event=f"closing the run backs off for {wait:.0f} s: {complete.reason}")

    def _retry_now(self, state: EntityState, request: str, at: int) -> Decision[EntityState]:
        """Nothing backs off any more: every lease is sent now, or the run's end is asked for, or reported, again."""
        leases = tuple(msgspec.structs.replace(lease, resume_at=0) for lease in state.leases)
        after = msgspec.structs.replace(state, leases=leases, close_at=0)
        if after.status == "fetching":
            after = with_deadline(after, at)
        event = f"retried by request {request}"
        return Decision(after, tuple(self.pending_commands(after)), event, Accepted(request, state.run))

    def _timer_due(self, state: EntityState, at: int) -> Decision[EntityState]:
        if state.has_ended:
            return Decision(msgspec.structs.replace(state, due=0))
        if state.status == "finishing":
            event = "" if state.close_at else "the run's end was not reported in time: asked again"
            after = msgspec.structs.replace(state, close_at=0, due=at + CLOSE_DEADLINE_MS)
            return Decision(after, tuple(self.pending_commands(after)), event)
        after, is_resumed = state, False
        for lease in state.leases:
            if 0 < lease.resume_at <= state.due:
                after, is_resumed = after.replacing(msgspec.structs.replace(lease, resume_at=0)), True
        event = "" if is_resumed else "no page was reported in time: asked again"
        return Decision(with_deadline(after, at), tuple(self.pending_commands(after)), event)


def _closing(state: EntityState, outcome: RunOutcome, reason: str, at: int) -> Decision[EntityState]:
    """No more leases; close the run in the database first, so that nothing is written under it afterwards."""
    if state.status != "fetching":
        return Decision(state)
    after = msgspec.structs.replace(
        state, status="finishing", outcome=outcome, reason=reason, leases=(), due=at + CLOSE_DEADLINE_MS
    )
    event = f"finishing: {outcome}" + (f", {reason}" if reason else "")
    return Decision(after, (commands.close_run(after),), event)


def _ended(state: EntityState, outcome: RunOutcome, counts: Counts, at: int, remark: str = "") -> Decision[EntityState]:
    """The run is over; the counts are the database's own."""
    after = msgspec.structs.replace(
        state,
        status=outcome,
        outcome=outcome,
        leases=(),
        pages=counts.pages,
        records=counts.records,
        rejected=counts.rejected,
        ended_at=at,
        close_at=0,
        due=0,
        reason=remark or state.reason,
    )
    event = f"{after.status}: {after.records} records on {after.pages} pages"
    event += f"; {remark}" if remark else ""
    return Decision(after, (commands.child_done(after),), event)
