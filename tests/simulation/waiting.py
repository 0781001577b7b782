"""Who waits in vain: for something that nobody is about to send, but for a deadline."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tables.kinds.entity import EntityState
from tables.kinds.sync import SyncState
from tests.counter.commands import KEY
from tests.counter.state import CounterState


def waiting_in_vain(states: Sequence[Any], had_trouble: bool) -> list[str]:
    """To be asked when nothing is on its way.

    A lease that waits for the API to come back is no such thing, nor is the end of a run that a database refused, nor
    an entity that a frozen worker has begun for a run that its main sync has left: nobody waits for it, and its
    deadline brings it to its end.
    """
    workflows = {state.key: state for state in states}
    return [sentence for state in states for sentence in _in_vain(state, workflows, had_trouble)]


def _in_vain(state: Any, workflows: Mapping[str, Any], had_trouble: bool) -> Iterator[str]:
    match state:
        case EntityState():
            parent = workflows.get(state.parent)
            leases_out = [lease.number for lease in state.leases if not lease.resume_at]
            is_wanted = parent is not None and parent.run == state.parent_run
            if is_wanted and (leases_out or (state.status == "finishing" and not had_trouble)):
                yield f"{state.run_id} is {state.status}, leases {leases_out}, and nobody works on it"
        case SyncState():
            running = [state.child_key(name) for name, child in state.children.items() if child.status == "running"]
            yield from _without_child(state, running, workflows)
        case CounterState(status="waiting"):
            yield from _without_child(state, [KEY.key(state.org, state.child)], workflows)
        case CounterState(status="recording") if not had_trouble:
            yield f"{state.run_id} waits for its action, and nobody works on it"


def _without_child(state: Any, children: Sequence[str], workflows: Mapping[str, Any]) -> Iterator[str]:
    for key in children:
        child = workflows.get(key)
        if child is None or child.parent_run != state.run or child.has_ended:
            yield f"{state.run_id} waits for {key}, which was not asked or has reported"
