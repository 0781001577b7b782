"""Skip or replay, decide, put, emit. One shell joins any decider to any topic; nothing here waits for the broker.

An offset is committed only after a flush has confirmed every record handed over for it, so a crash anywhere leads to
redelivery, and redelivery repeats the same record and the same ids. What one workflow handed to another has no offset
of its own: it hangs on the event that it follows from, whose replay hands it over again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import msgspec

from agents.core.decision import Decider, Decision
from tables.catalog import State
from tables.row import Row
from topics.commands import Command, StartSync
from topics.errors import Rejected

Outcome = Literal["decided", "ignored", "replayed", "echo"]


@dataclass(frozen=True, slots=True)
class Event:
    """A command and where it was met. `at` is the broker's time (Unix ms), `generation` that of the process's life.

    Without an offset it was handed over by another workflow of the partition; `is_again`: it may have been before.
    """

    topic: str
    offset: int | None
    at: int
    generation: int
    command: Command
    redelivered: bool = False


class StepContext(Protocol):
    """Where a step happens: the records of one partition, and a way out for commands."""

    def get(self, key: str) -> Row[State] | None: ...

    def put(self, key: str, row: Row[State] | None) -> None:
        """The record from now on; None takes it out of the table."""
        ...

    def emit(self, command: Command, trace: str, redelivered: bool = False) -> None:
        """Send a command or hand it over; `trace` is its run's. `is_again`: that may have been done before."""
        ...

    def first_redelivery(self, key: str) -> bool:
        """True the first time: what a workflow owes is repeated once a batch because of what was handed to it."""
        ...


class Processor:
    """Handles an event for whichever kind of workflow its key names."""

    def __init__(self, deciders: Mapping[str, Decider[Any]]) -> None:
        self._deciders = deciders

    def handle(self, event: Event, room: StepContext) -> Outcome:
        """One step. Of a Rejected event only its offset is remembered; any other error must stop the process."""
        key = event.command.key
        decider = self._decider(key)
        stored = room.get(key) or Row[State]()
        row = _adopt_epoch(stored, event, room)
        if row.has_folded(event.topic, event.offset):
            outcome = _repeat(row, key, decider, room)
            _refuse_again(row, event, decider)
            return outcome
        if isinstance(event.command, StartSync) and event.command.id in row.seen:
            return "echo"
        decision = _decided(row, event, decider, room)
        if decision.state is not row.state or decision.note or (decision.commands and event.offset is not None):
            room.put(key, _folded(row, event, decision))
        elif not decision.commands:
            return _repeat(row, key, decider, room) if _needs_resend(stored, event, room) else "ignored"
        for made in decision.commands:
            room.emit(made, decision.state.trace if decision.state else key)
        return "decided"

    def _decider(self, key: str) -> Decider[Any]:
        kind = key.partition(":")[0]
        decider = self._deciders.get(kind)
        if decider is None:
            raise Rejected(f"workflow {key!r} is of no known kind; there are: {', '.join(sorted(self._deciders))}")
        return decider


def _decided(row: Row[State], event: Event, decider: Decider[Any], room: StepContext) -> Decision[Any]:
    """What was refused stays refused, however it is replayed: its offset is folded in."""
    try:
        return decider.decide(row.state, event.command, event.at)
    except Rejected:
        if row.state is not None and event.offset is not None:
            room.put(event.command.key, msgspec.structs.replace(row, last_offset=_positions(row, event)))
        raise


def _needs_resend(stored: Row[State], event: Event, room: StepContext) -> bool:
    """Handed over and known already: then it was told in a life before, and what followed from it may be lost.

    What came by the broker is told again by its own offset; what was handed over has none.
    """
    if event.offset is not None or stored.state is None:
        return False
    return (event.redelivered or stored.generation < event.generation) and room.first_redelivery(event.command.key)


def _adopt_epoch(row: Row[State], event: Event, room: StepContext) -> Row[State]:
    """A record met for the first time under a generation is put under it, whatever becomes of the event.

    A store that was lost and came back older may hold a record of this event that never reached the changelog. It
    must be older than ours by generation, or restoring would take ours for the stale one.
    """
    if row.state is None or row.generation >= event.generation:
        return row
    claimed = msgspec.structs.replace(row, generation=event.generation)
    room.put(event.command.key, claimed)
    return claimed


def _repeat(row: Row[State], key: str, decider: Decider[Any], room: StepContext) -> Outcome:
    """Put and emit again: a crash may have lost either, and neither hurts twice."""
    room.put(key, row)
    if row.state is not None:
        for pending_commands in decider.pending_commands(row.state):
            room.emit(pending_commands, row.state.trace, redelivered=True)
    return "replayed"


def _refuse_again(row: Row[State], event: Event, decider: Decider[Any]) -> None:
    """A refused command left nothing but its offset, and its dead letter may be lost: Rejected, as the first time."""
    command = event.command
    if isinstance(command, StartSync) and command.id in row.seen:
        return
    decider.decide(row.state, command, event.at)
    if isinstance(command, StartSync):
        raise Rejected("it was refused when it was first met, before a crash; ask again if it is still wanted")


def _folded(row: Row[State], event: Event, decision: Decision[State]) -> Row[State] | None:
    state = decision.state
    if state is None:
        return None
    after = msgspec.structs.replace(
        row,
        generation=max(row.generation, event.generation),
        seq=row.seq + 1 if row.seq else event.at,
        due=state.due,
        state=state,
        last_offset=_positions(row, event),
    )
    if isinstance(event.command, StartSync):
        after = after.with_request(event.command.id)
    return after.with_event(event.at, event.command.id, decision.note) if decision.note else after


def _positions(row: Row[State], event: Event) -> dict[str, int]:
    return row.last_offset if event.offset is None else {**row.last_offset, event.topic: event.offset}
