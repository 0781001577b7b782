"""Given some commands, when one more comes, then this follows: how tests speak of deciders."""

from typing import Any, Generic, Self, TypeVar

import pytest

from agents.core.decision import Accepted, Decider, Decision
from tests.engine.clock import T0
from topics.command import Command
from topics.errors import Rejected

S = TypeVar("S")


class Scenario(Generic[S]):
    """One workflow's history. Each decision is made twice, and both must be equal: deciders are deterministic."""

    def __init__(self, decider: Decider[S], state: S | None = None) -> None:
        self._decider = decider
        self._before = self._state = state
        self._decision: Decision[S] = Decision(state)

    @property
    def state(self) -> S:
        assert self._state is not None, "there is no workflow"
        return self._state

    @property
    def commands(self) -> tuple[Command, ...]:
        """What the last command led to."""
        return self._decision.commands

    @property
    def pending_commands(self) -> tuple[Command, ...]:
        return tuple(self._decider.pending_commands(self.state))

    def given(self, *commands: Command, at: int = T0) -> Self:
        for command in commands:
            self.when(command, at)
        return self

    def when(self, command: Command, at: int = T0) -> Self:
        first, second = (self._decider.decide(self._state, command, at) for _ in range(2))
        assert first == second, "the same decision, made again, is another one"
        self._before, self._state, self._decision = self._state, first.state, first
        return self

    def then(self, *commands: Command) -> Self:
        """Exactly these commands follow."""
        assert self._decision.commands == commands
        return self

    def with_event(self, event: str) -> Self:
        assert event in self._decision.event
        return self

    def accepting(self, accepted: Accepted) -> Self:
        assert self._decision.accepted == accepted
        return self

    def having(self, **fields: Any) -> Self:
        """The state has these values."""
        assert {name: getattr(self.state, name) for name in fields} == fields
        return self

    def awaiting(self, *commands: Command) -> Self:
        assert self.pending_commands == commands
        return self

    def unchanged(self) -> Self:
        """The last command changed nothing and led to nothing: not even the record is written."""
        assert self._decision.state is self._before
        assert not self._decision.commands
        assert not self._decision.event
        return self

    def rejects(self, command: Command, why: str, at: int = T0) -> Self:
        with pytest.raises(Rejected, match=why):
            self._decider.decide(self._state, command, at)
        return self
