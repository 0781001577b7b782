"""Negative controls: the engine with one protection off. Each must be caught, or the checker proves nothing."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from unittest.mock import patch

import agents.core.processor as shell
from agents.core.decision import Decider
from agents.core.processor import StepContext
from tables.catalog import State
from tables.row import Row
from tests.simulation.worker import Protections
from topics.commands import StartSync


@dataclass(frozen=True)
class Control:
    """What is off: in the product's own code, or in what stands around it."""

    patched: Callable[[], AbstractContextManager[None]] = nullcontext
    protections: Protections = field(default_factory=Protections)


@contextmanager
def no_dedupe() -> Iterator[None]:
    """A replayed event is decided again, a request that was met before too."""
    with patch.object(Row, "has_folded", lambda self, topic, offset: False), no_memory_of_requests():
        yield


@contextmanager
def no_put_on_replay() -> Iterator[None]:
    """Neither as a replay nor as the first of a new generation."""

    def repeat(row: Row[State], key: str, decider: Decider[State], room: StepContext) -> str:
        for pending_commands in decider.pending_commands(row.state) if row.state else ():
            room.emit(pending_commands, key, redelivered=True)
        return "replayed"

    with patch.object(shell, "_repeat", repeat), patch.object(shell, "_adopt_epoch", lambda row, event, room: row):
        yield


@contextmanager
def no_owed_on_replay() -> Iterator[None]:
    def repeat(row: Row[State], key: str, decider: Decider[State], room: StepContext) -> str:
        room.put(key, row)
        return "replayed"

    with patch.object(shell, "_repeat", repeat):
        yield


@contextmanager
def no_memory_of_requests() -> Iterator[None]:
    with patch.object(Row, "with_request", lambda self, command_id: self):
        yield


@contextmanager
def no_ledger() -> Iterator[None]:
    """A fetcher that does not look what is committed before it asks."""
    with patch("agents.activities.leases._known", lambda is_open, lines: {}):
        yield


@contextmanager
def ids_that_are_drawn() -> Iterator[None]:
    """A request that is delivered again is another request."""
    count = iter(range(10**9))
    with patch.object(StartSync, "identity", property(lambda self: (self.key, str(next(count))))):
        yield


@contextmanager
def no_refusal_on_replay() -> Iterator[None]:
    """What was refused before a crash is not buried again."""
    with patch.object(shell, "_refuse_again", lambda row, event, decider: None):
        yield


CONTROLS: Mapping[str, Control] = {
    "no dedupe": Control(no_dedupe),
    "no memory of requests": Control(no_memory_of_requests),
    "no fence": Control(protections=Protections(run_fence=False)),
    "commit before flush": Control(protections=Protections(flush_before_commit=False)),
    "no re-put on replay": Control(no_put_on_replay),
    "no owed on replay": Control(no_owed_on_replay),
    "no refusal on replay": Control(no_refusal_on_replay),
    "wrong id derivation": Control(ids_that_are_drawn),
    "Faust's exactly_once": Control(protections=Protections(one_flush_for_all=False)),
    "no ledger": Control(no_ledger),
    "no guard on restore": Control(protections=Protections(restore_guard=False)),
    "no fence of the group": Control(protections=Protections(group_fence=False)),
}
