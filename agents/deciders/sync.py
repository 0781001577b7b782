"""Decider of a main sync: builds the plan of entities, starts each as its dependencies complete, ends with their
outcomes.
"""

from collections.abc import Mapping, Sequence

import msgspec

from agents.core.decision import Accepted, Decision
from manifests.delta import delta_entities
from manifests.entity import Adapter
from manifests.graph import plan
from tables.kinds.sync import Child, SyncState, SyncStatus, children_of
from topics.catalog import WORKFLOW_RETENTION_MS
from topics.command import CancelRun, Command, RetryNow, TimerDue
from topics.errors import Rejected
from topics.kinds.entity import StartEntity
from topics.kinds.sync import DELTA, FULL, RECONCILIATION, ChildDone, StaleRun, StartSync

QUEUE_MAX = 16  # requests that wait for a run to end; one more is rejected
PROGRESS_DEADLINE_MS = 600_000  # no entity reported anything for so long: ask the running ones again
TYPES_SERVED = (FULL, DELTA, RECONCILIATION)


class SyncDecider:
    """Decides for `main-sync:{org}:{adapter}:{type}`. Knows the adapters; a run in progress keeps its own plan."""

    def __init__(self, adapters: Mapping[str, Adapter]) -> None:
        self._plans = {
            (name, type_): plan(adapter) for name, adapter in adapters.items() for type_ in (FULL, RECONCILIATION)
        }
        self._plans |= {(name, DELTA): plan(delta_entities(adapter)) for name, adapter in adapters.items()}

    def decide(self, state: SyncState | None, command: Command, at: int) -> Decision[SyncState]:
        match command:
            case StartSync():
                return self._start(state, command, at)
            case TimerDue() if state is not None:
                return self._timer_due(state, at)
            case ChildDone() if state is not None and not state.has_ended:
                return self._child_done(state, command, at)
            case CancelRun() if state is not None and command.run == state.run and not state.has_ended:
                return _cancelled(state, command.reason, at)
            case StaleRun() if state is not None and command.parent_run == state.run and not state.has_ended:
                lost = msgspec.structs.replace(state, run=command.newest)
                return self._run(lost, state.org, state.adapter, state.type, state.request, at, state.verify)
            case RetryNow() if state is not None and not state.has_ended:
                return self._retry_now(state, command.request_id)
            case ChildDone() | CancelRun() | RetryNow() | StaleRun() | TimerDue():
                return Decision(state)  # late, or of another run
        raise Rejected(f"a main sync takes no {type(command).__name__}")

    def pending_commands(self, state: SyncState) -> Sequence[Command]:
        if state.status == "cancelled":
            return [_cancel(state, name) for name, child in state.children.items() if _was_cancelled_here(child)]
        return [_start_entity(state, name) for name, child in state.children.items() if child.status == "running"]

    def _start(self, state: SyncState | None, command: StartSync, at: int) -> Decision[SyncState]:
        self._check(command)
        request = command.request_id or ""
        if state is None or state.has_ended:
            return self._run(state, command.org, command.adapter, command.type, request, at, command.verify)
        if command.verify != state.verify:
            does = "stores nothing" if state.verify else "also stores what it finds"
            raise Rejected(f"run {state.run_id} is in progress and {does}: ask again when it has ended")
        match command.on_conflict:
            case "ignore":
                event = f"request {request} attached to run {state.run_id}"
                return Decision(state, event=event, accepted=Accepted(request, state.run))
            case "queue":
                _check_queue(state)
                after = msgspec.structs.replace(state, queue=(*state.queue, request))
                event = f"request {request} queued behind run {state.run_id}"
                return Decision(after, event=event, accepted=Accepted(request))
            case "restart":
                _check_queue(state)
                after = msgspec.structs.replace(state, queue=(request, *state.queue))
                return _cancelled(after, f"restarted by request {request}", at, Accepted(request))
            case "reject":
                raise Rejected(f"run {state.run_id} is in progress and the request says on_conflict=reject")

    def _check(self, command: StartSync) -> None:
        if (command.adapter, FULL) not in self._plans:
            known = sorted(name for name, type_ in self._plans if type_ == FULL)
            raise Rejected(f"adapter {command.adapter!r} is not known; there are: {', '.join(known)}")
        if command.type not in TYPES_SERVED:
            raise Rejected(f"type {command.type!r} is not served; there are: {', '.join(TYPES_SERVED)}")
        if command.verify and command.type != RECONCILIATION:
            raise Rejected(f"verify compares everything: ask for it with type {RECONCILIATION}, not {command.type}")

    def _run(
        self, before: SyncState | None, org: str, adapter: str, type_: str, request: str, at: int, verify: bool
    ) -> Decision[SyncState]:
        """A new run. Its number is the time of its start, or one more than the last: it only grows."""
        number = max(before.run + 1, at) if before else at
        state = SyncState(
            org=org,
            adapter=adapter,
            type=type_,
            run=number,
            request=request,
            started_at=at,
            due=at + PROGRESS_DEADLINE_MS,
            children=children_of(self._plans.get((adapter, type_), {})),
            queue=before.queue if before else (),
            verify=verify,
        )
        accepted = Accepted(request, number)
        if (adapter, type_) not in self._plans:
            reason = f"adapter {adapter!r} is not known here any more: deploy its manifests to every worker"
            event = f"request {request} failed: {reason}"
            return Decision(_ended(state, "failed", at, reason), event=event, accepted=accepted)
        others = len(self._plans[adapter, FULL]) - len(state.children)
        left = f"; {others} entities cannot be read by their changes" if others else ""
        return self._advanced(state, at, f"request {request} started run {state.run_id}{left}", accepted)

    def _child_done(self, state: SyncState, done: ChildDone, at: int) -> Decision[SyncState]:
        if done.parent_run > state.run:  # a frozen process began that run; asked, the entity reports what it knows
            return Decision(state, tuple(self.pending_commands(state)))
        after = state.with_outcome(done, at) if done.parent_run == state.run else state
        if after is state:
            return Decision(state)
        after = msgspec.structs.replace(after.with_blocked(at), due=at + PROGRESS_DEADLINE_MS)
        because = f": {done.reason}" if done.reason else ""
        return self._advanced(after, at, f"{done.entity} {done.outcome}{because}")

    def _advanced(self, state: SyncState, at: int, event: str, accepted: Accepted | None = None) -> Decision[SyncState]:
        """Start what is ready; with nothing left to wait for, the run has ended."""
        ready = state.ready()
        started = state.with_status(ready, "running", at)
        commands = tuple(_start_entity(started, name) for name in ready)
        if any(not child.has_ended for child in started.children.values()):
            return Decision(started, commands, event, accepted)
        bad = [name for name, child in started.children.items() if child.status != "done"]
        reason = f"{len(bad)} of {len(started.children)} entities did not complete: {', '.join(bad[:5])}" if bad else ""
        ended = _ended(started, "failed" if bad else "done", at, reason)
        return Decision(ended, commands, f"{event}; run {ended.status}", accepted)

    def _retry_now(self, state: SyncState, request: str) -> Decision[SyncState]:
        running = [name for name, child in state.children.items() if child.status == "running"]
        retries = tuple(RetryNow(workflow=state.child_key(name), request_id=request) for name in running)
        event = f"retried by request {request}"
        return Decision(state, (*self.pending_commands(state), *retries), event, Accepted(request, state.run))

    def _timer_due(self, state: SyncState, at: int) -> Decision[SyncState]:
        if not state.has_ended:
            after = msgspec.structs.replace(state, due=at + PROGRESS_DEADLINE_MS)
            return Decision(after, tuple(self.pending_commands(after)), "no entity reported in time: asked again")
        if state.queue:
            request, *rest = state.queue
            waiting = msgspec.structs.replace(state, queue=tuple(rest))
            return self._run(waiting, state.org, state.adapter, state.type, request, at, state.verify)
        return self._cancel_again(state, at)

    def _cancel_again(self, state: SyncState, at: int) -> Decision[SyncState]:
        """A cancel may be lost: it is sent again, after twice as long each time, as long as the record is kept."""
        longer = max(2 * (at - state.ended_at), PROGRESS_DEADLINE_MS)
        cancels = tuple(self.pending_commands(state))
        is_over = not cancels or at + longer >= state.ended_at + WORKFLOW_RETENTION_MS
        return Decision(msgspec.structs.replace(state, due=0 if is_over else at + longer), cancels)


def _ended(state: SyncState, status: SyncStatus, at: int, reason: str) -> SyncState:
    """Ended. With a queue a timer at once: the next run begins in a step of its own, so that the end of this one is in
    the journal."""
    return msgspec.structs.replace(state, status=status, ended_at=at, reason=reason, due=at if state.queue else 0)


def _check_queue(state: SyncState) -> None:
    if len(state.queue) >= QUEUE_MAX:
        raise Rejected(f"{QUEUE_MAX} requests already wait for run {state.run_id} to end")


def _cancelled(state: SyncState, reason: str, at: int, accepted: Accepted | None = None) -> Decision[SyncState]:
    running = [name for name, child in state.children.items() if child.status == "running"]
    ended = _ended(state.with_status(state.children, "cancelled", at, reason), "cancelled", at, reason)
    if running and not ended.queue:
        ended = msgspec.structs.replace(ended, due=at + PROGRESS_DEADLINE_MS)
    commands = tuple(_cancel(ended, name) for name in running)
    return Decision(ended, commands, f"run {state.run_id} cancelled: {reason}", accepted)


def _was_cancelled_here(child: Child) -> bool:
    return child.status == "cancelled" and child.started_at > 0 and not child.run_id


def _cancel(state: SyncState, name: str) -> CancelRun:
    return CancelRun(workflow=state.child_key(name), run=state.run, reason=state.reason)


def _start_entity(state: SyncState, name: str) -> StartEntity:
    return StartEntity(workflow=state.child_key(name), parent=state.key, parent_run=state.run, verify=state.verify)
