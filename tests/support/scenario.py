"""Given some commands, when one more comes, then this follows: how tests speak of deciders."""

from typing import Any, Generic, Self, TypeVar

import pytest

from agents.core.decision import Decider, Decision
from topics.commands import Command
from topics.errors import Rejected

S = TypeVar("S")

T0 = 1_700_000_000_000  # Unix ms: when every scenario begins


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

    def noted(self, note: str) -> Self:
        assert note in self._decision.note
        return self

    def having(self, **fields: Any) -> Self:
        """The state has these values."""
        assert {name: getattr(self.state, name) for name in fields} == fields
        return self

    def owing(self, *commands: Command) -> Self:
        assert self.pending_commands == commands
        return self

    def unchanged(self) -> Self:
        """The last command changed nothing and led to nothing: not even the record is written."""
        assert self._decision.state is self._before
        assert not self._decision.commands
        assert not self._decision.note
        return self

    def forgotten(self) -> Self:
        """The record leaves the table."""
        assert self._state is None
        assert not self._decision.commands
        return self

    def refuses(self, command: Command, why: str, at: int = T0) -> Self:
        with pytest.raises(Rejected, match=why):
            self._decider.decide(self._state, command, at)
        return self
