"""Decisions and deciders: what a decider answers, and what it promises."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from topics.command import Command

S = TypeVar("S")
S_in = TypeVar("S_in")


@dataclass(frozen=True, slots=True)
class Accepted:
    """What a request from outside led to: the number of the run that it started or was attached to, 0 for none yet."""

    request_id: str
    run: int = 0


@dataclass(frozen=True, slots=True)
class Decision(Generic[S]):
    """The new state and the commands that follow from it. `event` says in words what happened, if it is notable.

    `state` None: there is no workflow.
    """

    state: S | None
    commands: tuple[Command, ...] = ()
    event: str = ""
    accepted: Accepted | None = None


class Decider(Protocol[S_in]):
    """Pure: the same state, command and time give the same decision; ids are computed, time comes with the command."""

    def decide(self, state: S_in | None, command: Command, at: int) -> Decision[S_in]:
        """What follows from `command`, handled at `at` (Unix ms, the broker's clock).

        Rejected: the command can never make sense. One that merely comes too late or twice changes nothing. A timer
        that the processor passes on is the state's own, and due.
        """
        ...

    def pending_commands(self, state: S_in) -> Sequence[Command]:
        """Every command whose effect the state is waiting for. Sent again after a replay: receivers drop duplicates."""
        ...
