"""What a decider answers, and what a decider is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from topics.commands import Command

S = TypeVar("S")
S_in = TypeVar("S_in")


@dataclass(frozen=True, slots=True)
class Decision(Generic[S]):
    """The new state and the commands that follow from it. `note` tells a person what happened, if it is notable.

    `state` None: the workflow has nothing more to remember, its record leaves the table.
    """

    state: S | None
    commands: tuple[Command, ...] = ()
    note: str = ""


class Decider(Protocol[S_in]):
    """Pure: the same state, command and time give the same decision; ids are computed, time comes with the event."""

    def decide(self, state: S_in | None, command: Command, at: int) -> Decision[S_in]:
        """What follows from `command`, met at `at` (Unix ms, the broker's clock).

        Rejected: the command can never make sense. One that merely comes too late or twice changes nothing.
        """
        ...

    def pending_commands(self, state: S_in) -> Sequence[Command]:
        """Every command whose effect the state is waiting for. Sent again after a replay: receivers drop echoes."""
        ...
