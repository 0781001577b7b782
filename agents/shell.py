"""Skip or replay, decide, put, emit. One shell joins any decider to any topic; nothing here waits for the broker.

An offset is committed only after a flush has confirmed every record handed over for it, so a crash anywhere leads to
redelivery, and redelivery repeats the same record and the same ids.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import msgspec

from agents.decision import Decider
from tables.catalog import State
from tables.row import Row
from topics.commands import Command, StartSync
from topics.errors import Rejected

Outcome = Literal["decided", "ignored", "replayed", "echo"]


@dataclass(frozen=True, slots=True)
class Event:
    """A command and where it was met. `at` is the broker's time (Unix ms), `generation` that of the process's life."""

    topic: str
    offset: int
    at: int
    generation: int
    command: Command


class Room(Protocol):
    """Where a step happens: the records of one partition, and a way out for commands."""

    def get(self, key: str) -> Row[State] | None: ...

    def put(self, key: str, row: Row[State] | None) -> None:
        """The record from now on; None takes it out of the table."""
        ...

    def emit(self, command: Command, trace: str) -> None:
        """Send a command on its way; `trace` is the run that it belongs to."""
        ...


class Shell:
    """Handles an event for whichever kind of workflow its key names."""

    def __init__(self, deciders: Mapping[str, Decider[Any]]) -> None:
        self._deciders = deciders

    def handle(self, event: Event, room: Room) -> Outcome:
        """One step. Of a Rejected event only its offset is remembered; any other error must stop the process."""
        command = event.command
        decider = self._decider(command.key)
        row = _claimed(room.get(command.key) or Row[State](), event, room)
        if row.has_folded(event.topic, event.offset):
            outcome = _repeat(row, command.key, decider, room)
            _refuse_again(row, event, decider)
            return outcome
        if isinstance(command, StartSync) and command.id in row.seen:
            return "echo"
        try:
            decision = decider.decide(row.state, command, event.at)
        except Rejected:
            if row.state is not None:  # what was refused stays refused, however it is replayed
                folded = {**row.last_offset, event.topic: event.offset}
                room.put(command.key, msgspec.structs.replace(row, last_offset=folded))
            raise
        if decision.state is row.state and not decision.commands and not decision.note:
            return "ignored"
        after = None if decision.state is None else _folded(row, event, decision.state, decision.note)
        room.put(command.key, after)
        for made in decision.commands:
            room.emit(made, decision.state.trace if decision.state else command.key)
        return "decided"

    def _decider(self, key: str) -> Decider[Any]:
        kind = key.partition(":")[0]
        decider = self._deciders.get(kind)
        if decider is None:
            raise Rejected(f"workflow {key!r} is of no known kind; there are: {', '.join(sorted(self._deciders))}")
        return decider


def _claimed(row: Row[State], event: Event, room: Room) -> Row[State]:
    """A record met for the first time under a generation is put under it, whatever becomes of the event.

    A store that was lost and came back older may hold a record of this event that never reached the changelog. It
    must be older than ours by generation, or restoring would take ours for the stale one.
    """
    if row.state is None or row.generation >= event.generation:
        return row
    claimed = msgspec.structs.replace(row, generation=event.generation)
    room.put(event.command.key, claimed)
    return claimed


def _repeat(row: Row[State], key: str, decider: Decider[Any], room: Room) -> Outcome:
    """Put and emit again: a crash may have lost either, and neither hurts twice."""
    room.put(key, row)
    if row.state is not None:
        for owed in decider.owed(row.state):
            room.emit(owed, row.state.trace)
    return "replayed"


def _refuse_again(row: Row[State], event: Event, decider: Decider[Any]) -> None:
    """A refused command left nothing but its offset, and its dead letter may be lost: Rejected, as the first time."""
    command = event.command
    if isinstance(command, StartSync) and command.id in row.seen:
        return
    decider.decide(row.state, command, event.at)
    if isinstance(command, StartSync):
        raise Rejected("it was refused when it was first met, before a crash; ask again if it is still wanted")


def _folded(row: Row[State], event: Event, state: State, note: str) -> Row[State]:
    after = msgspec.structs.replace(
        row,
        generation=max(row.generation, event.generation),
        seq=row.seq + 1 if row.seq else event.at,
        due=state.due,
        state=state,
        last_offset={**row.last_offset, event.topic: event.offset},
    )
    if isinstance(event.command, StartSync):
        after = after.remembering(event.command.id)
    return after.noting(event.at, event.command.id, note) if note else after
