"""The main sync: builds the plan of entities, starts each as its dependencies complete, ends with their outcomes."""

from collections.abc import Mapping, Sequence

import msgspec

from agents.core.decision import Decision
from manifests.entity import Adapter
from manifests.graph import plan
from tables.kinds.sync import Child, SyncState, SyncStatus, children_of
from topics.commands import CancelRun, ChildDone, Command, RetryNow, StaleRun, StartEntity, StartSync, TimerDue
from topics.errors import Rejected

QUEUE_MAX = 16  # requests that wait for a run to end; one more is rejected
PROGRESS_DEADLINE_MS = 600_000  # no entity told anything for so long: ask the running ones again
RETENTION_MS = 8 * 86_400_000  # an ended run's record leaves the table; longer than any message can come back
TYPES_SERVED = ("full",)


class SyncDecider:
    """Decides for `main-sync:{org}:{adapter}:{type}`. Knows the adapters; a run in progress keeps its own plan."""

    def __init__(self, adapters: Mapping[str, Adapter]) -> None:
        self._plans = {name: plan(adapter) for name, adapter in adapters.items()}

    def decide(self, state: SyncState | None, command: Command, at: int) -> Decision[SyncState]:
        match command:
            case StartSync():
                return self._start(state, command, at)
            case ChildDone() if state is not None and not state.has_ended:
                return self._child_done(state, command, at)
            case CancelRun() if state is not None and command.run == state.run and not state.has_ended:
                return _cancelled(state, command.reason, at, state.queue)
            case StaleRun() if state is not None and command.parent_run == state.run and not state.has_ended:
                lost = msgspec.structs.replace(state, run=command.newest)
                return self._run(lost, state.org, state.adapter, state.type, state.request, at)
            case TimerDue() if state is not None and command.due == state.due:
                return self._timer_due(state, at)
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
        if command.adapter not in self._plans:
            raise Rejected(f"adapter {command.adapter!r} is not known; there are: {', '.join(sorted(self._plans))}")
        if command.type not in TYPES_SERVED:
            raise Rejected(f"type {command.type!r} is not served; there are: {', '.join(TYPES_SERVED)}")
        request = command.request_id or ""
        if state is None or state.has_ended:
            return self._run(state, command.org, command.adapter, command.type, request, at)
        match command.on_conflict:
            case "ignore":
                return Decision(state, note=f"request {request} attached to run {state.run_id}")
            case "queue":
                return _queued(state, request)
            case "restart":
                _check_room(state)
                return _cancelled(state, f"restarted by request {request}", at, (request, *state.queue))
            case "reject":
                raise Rejected(f"run {state.run_id} is in progress and the request says on_conflict=reject")

    def _run(
        self, before: SyncState | None, org: str, adapter: str, type_: str, request: str, at: int
    ) -> Decision[SyncState]:
        """A new run. Its number is the time of its start, or one more than the last: it grows for ever."""
        number = max(before.run + 1, at) if before else at
        state = SyncState(
            org=org,
            adapter=adapter,
            type=type_,
            run=number,
            request=request,
            started_at=at,
            due=at + PROGRESS_DEADLINE_MS,
            children=children_of(self._plans.get(adapter, {})),
            queue=before.queue if before else (),
        )
        if adapter not in self._plans:
            reason = f"adapter {adapter!r} is not known here any more: deploy its manifests to every worker"
            return Decision(_ended(state, "failed", at, reason), note=f"request {request} failed: {reason}")
        return self._advanced(state, at, f"request {request} started run {state.run_id}")

    def _child_done(self, state: SyncState, done: ChildDone, at: int) -> Decision[SyncState]:
        if done.parent_run > state.run:  # a frozen process began that run; asked, the entity says what it has met
            return Decision(state, tuple(self.pending_commands(state)))
        after = state.with_outcome(done, at) if done.parent_run == state.run else state
        if after is state:
            return Decision(state)
        after = msgspec.structs.replace(after.with_blocked(at), due=at + PROGRESS_DEADLINE_MS)
        because = f": {done.reason}" if done.reason else ""
        return self._advanced(after, at, f"{done.entity} {done.outcome}{because}")

    def _advanced(self, state: SyncState, at: int, note: str) -> Decision[SyncState]:
        """Start what is ready; with nothing left to wait for, the run has ended."""
        ready = state.ready()
        started = state.with_status(ready, "running", at)
        commands = tuple(_start_entity(started, name) for name in ready)
        if any(not child.has_ended for child in started.children.values()):
            return Decision(started, commands, note)
        bad = [name for name, child in started.children.items() if child.status != "done"]
        reason = f"{len(bad)} of {len(started.children)} entities did not complete: {', '.join(bad[:5])}" if bad else ""
        ended = _ended(started, "failed" if bad else "done", at, reason)
        return Decision(ended, commands, f"{note}; run {ended.status}")

    def _retry_now(self, state: SyncState, request: str) -> Decision[SyncState]:
        running = [name for name, child in state.children.items() if child.status == "running"]
        nudges = tuple(RetryNow(workflow=state.child_key(name), request_id=request) for name in running)
        return Decision(state, (*self.pending_commands(state), *nudges), f"nudged ({request})")

    def _timer_due(self, state: SyncState, at: int) -> Decision[SyncState]:
        if not state.has_ended:
            after = msgspec.structs.replace(state, due=at + PROGRESS_DEADLINE_MS)
            return Decision(after, tuple(self.pending_commands(after)), "no entity told anything in time: asked again")
        if not state.queue:
            return self._cancelled_before(state, at)
        request, *rest = state.queue
        waiting = msgspec.structs.replace(state, queue=tuple(rest))
        return self._run(waiting, state.org, state.adapter, state.type, request, at)

    def _cancelled_before(self, state: SyncState, at: int) -> Decision[SyncState]:
        """A cancel that was lost is told again, each time after twice as long, until the record leaves the table."""
        gone_at, orders = state.ended_at + RETENTION_MS, tuple(self.pending_commands(state))
        if at >= gone_at or not orders:
            return Decision(None if at >= state.due else state)
        longer = max(2 * (at - state.ended_at), PROGRESS_DEADLINE_MS)
        return Decision(msgspec.structs.replace(state, due=min(gone_at, at + longer)), orders)


def _ended(state: SyncState, status: SyncStatus, at: int, reason: str) -> SyncState:
    """Ended, with a timer: at once for the next request in the queue, or when the record may leave the table.

    The next run begins in a step of its own, so that the end of this one is in the journal.
    """
    return msgspec.structs.replace(
        state, status=status, ended_at=at, reason=reason, due=at if state.queue else at + RETENTION_MS
    )


def _queued(state: SyncState, request: str) -> Decision[SyncState]:
    _check_room(state)
    after = msgspec.structs.replace(state, queue=(*state.queue, request))
    return Decision(after, note=f"request {request} queued behind run {state.run_id}")


def _check_room(state: SyncState) -> None:
    if len(state.queue) >= QUEUE_MAX:
        raise Rejected(f"{QUEUE_MAX} requests already wait for run {state.run_id} to end")


def _cancelled(state: SyncState, reason: str, at: int, queue: tuple[str, ...]) -> Decision[SyncState]:
    running = [name for name, child in state.children.items() if child.status == "running"]
    after = msgspec.structs.replace(state.with_status(state.children, "cancelled", at, reason), queue=queue)
    ended = _ended(after, "cancelled", at, reason)
    if running and not queue:
        ended = msgspec.structs.replace(ended, due=at + PROGRESS_DEADLINE_MS)
    commands = tuple(_cancel(ended, name) for name in running)
    return Decision(ended, commands, f"run {state.run_id} cancelled: {reason}")


def _was_cancelled_here(child: Child) -> bool:
    return child.status == "cancelled" and child.started_at > 0 and not child.run_id


def _cancel(state: SyncState, name: str) -> CancelRun:
    return CancelRun(workflow=state.child_key(name), run=state.run, reason=state.reason)


def _start_entity(state: SyncState, name: str) -> StartEntity:
    return StartEntity(workflow=state.child_key(name), parent=state.key, parent_run=state.run)
