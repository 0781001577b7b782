"""Negative controls: the engine with one protection off. Each must be caught, or the checker proves nothing."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from unittest.mock import patch

import agents.shell as shell
from agents.decision import Decider
from agents.shell import Room
from tables.catalog import State
from tables.row import Row
from topics.commands import StartSync

Control = Callable[[], AbstractContextManager[object]]


@contextmanager
def no_put_on_replay() -> Iterator[None]:
    """Neither as a replay nor as the first of a new generation."""

    def repeat(row: Row[State], key: str, decider: Decider[State], room: Room) -> str:
        for owed in decider.owed(row.state) if row.state else ():
            room.emit(owed, key)
        return "replayed"

    with patch.object(shell, "_repeat", repeat), patch.object(shell, "_claimed", lambda row, event, room: row):
        yield


@contextmanager
def no_owed_on_replay() -> Iterator[None]:
    """Without its deadlines, too: they would bring it right, later."""

    def repeat(row: Row[State], key: str, decider: Decider[State], room: Room) -> str:
        room.put(key, row)
        return "replayed"

    with patch.object(shell, "_repeat", repeat), no_deadlines():
        yield


@contextmanager
def no_deadlines() -> Iterator[None]:
    with patch("tests.simulation.worker.Worker.tick", lambda self, now: False):
        yield


@contextmanager
def no_memory_of_requests() -> Iterator[None]:
    with patch.object(Row, "remembering", lambda self, command_id: self):
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


CONTROLS: Mapping[str, Control] = {
    "no put on replay": no_put_on_replay,
    "no owed on replay": no_owed_on_replay,
    "no memory of requests": no_memory_of_requests,
    "no ledger": no_ledger,
    "ids that are drawn": ids_that_are_drawn,
}
