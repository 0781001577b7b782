"""Decider of a counter: ticks by its timer, then its child, then an action."""

from collections.abc import Sequence

import msgspec

from agents.core.decision import Accepted, Decision
from tests.counter.commands import KEY, Counted, CountForParent, StartCounter
from tests.counter.state import CounterState
from topics.actions import ActionComplete, RunAction
from topics.command import Command, RetryNow, TimerDue
from topics.errors import Rejected

RECORD = "record-count"
ASK_AGAIN_MS = 60_000  # a child or an action that reported nothing for so long is asked again


class CounterDecider:
    """Decides for `counter:{org}:{name}`."""

    def decide(self, state: CounterState | None, command: Command, at: int) -> Decision[CounterState]:
        match command:
            case StartCounter():
                return _start(state, command, at)
            case CountForParent():
                return _start_for_parent(state, command, at)
            case TimerDue() if state is not None:
                return self._timer_due(state, at)
            case Counted() if state is not None and state.status == "waiting" and command.parent_run == state.run:
                return _recording(state, at)
            case ActionComplete() if state is not None and state.status == "recording" and command.run == state.run:
                return _ended(state, command, at)
            case RetryNow() if state is not None:
                return Decision(state, tuple(self.pending_commands(state)), "retried")
            case TimerDue() | Counted() | ActionComplete() | RetryNow():
                return Decision(state)
        raise Rejected(f"a counter takes no {type(command).__name__}")

    def pending_commands(self, state: CounterState) -> Sequence[Command]:
        match state.status:
            case "waiting":
                return [_count_for_parent(state)]
            case "recording":
                return [_record(state)]
            case "done" | "failed":
                return _reports(state)
        return ()

    def _timer_due(self, state: CounterState, at: int) -> Decision[CounterState]:
        if state.has_ended:
            return Decision(msgspec.structs.replace(state, due=0))
        if state.status != "counting":
            return Decision(msgspec.structs.replace(state, due=at + ASK_AGAIN_MS), tuple(self.pending_commands(state)))
        ticks = (*state.ticks, at)
        after = msgspec.structs.replace(state, ticks=ticks, due=at + state.every_ms)
        if len(ticks) < state.target:
            return Decision(after, event=f"tick {len(ticks)}")
        if state.child:
            waiting = msgspec.structs.replace(after, status="waiting", due=at + ASK_AGAIN_MS)
            return Decision(waiting, (_count_for_parent(waiting),), "waits for its child")
        return _recording(after, at)


def _start(state: CounterState | None, command: StartCounter, at: int) -> Decision[CounterState]:
    request = command.request_id or ""
    if state is not None and not state.has_ended:
        return Decision(state, event="attached", accepted=Accepted(request, state.run))
    fresh = CounterState(
        command.org, command.name, _number(state, at), at, command.target, command.every_ms, command.child or "",
        due=at + command.every_ms,
    )  # fmt: skip
    return Decision(fresh, event="started", accepted=Accepted(request, fresh.run))


def _start_for_parent(state: CounterState | None, command: CountForParent, at: int) -> Decision[CounterState]:
    if state is not None and (state.parent, state.parent_run) == (command.parent, command.parent_run):
        return Decision(state, _reports(state) if state.ended_at else ())
    if state is not None and not state.has_ended:
        raise Rejected(f"{state.key} counts for somebody else")
    names = KEY.parse(command.workflow)
    fresh = CounterState(
        names["org"], names["name"], _number(state, at), at, command.target, command.every_ms,
        parent=command.parent, parent_run=command.parent_run, due=at + command.every_ms,
    )  # fmt: skip
    return Decision(fresh, event=f"started for {command.parent}")


def _number(state: CounterState | None, at: int) -> int:
    return max(state.run + 1, at) if state else at


def _recording(state: CounterState, at: int) -> Decision[CounterState]:
    after = msgspec.structs.replace(state, status="recording", due=at + ASK_AGAIN_MS)
    return Decision(after, (_record(after),), "records its result")


def _ended(state: CounterState, complete: ActionComplete, at: int) -> Decision[CounterState]:
    if complete.error == "retryable":
        return Decision(state)  # its deadline asks again
    after = msgspec.structs.replace(
        state, status="failed" if complete.error else "done", reason=complete.reason, ended_at=at, due=0
    )
    return Decision(after, _reports(state), after.status)


def _reports(state: CounterState) -> tuple[Counted, ...]:
    return (Counted(workflow=state.parent, parent_run=state.parent_run),) if state.parent else ()


def _count_for_parent(state: CounterState) -> CountForParent:
    return CountForParent(
        workflow=KEY.key(state.org, state.child), parent=state.key, parent_run=state.run,
        target=state.target, every_ms=state.every_ms,
    )  # fmt: skip


def _record(state: CounterState) -> RunAction:
    return RunAction(
        action=RECORD, workflow=state.key, run=state.run, step="result", org=state.org, adapter="counter",
        input={"count": len(state.ticks)},
    )  # fmt: skip
