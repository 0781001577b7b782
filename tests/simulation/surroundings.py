"""Surroundings of the engine: a source that moves, a database that loses commits, manifests that change."""

from collections.abc import Callable
from datetime import datetime

from tests.engine.faults import Faults
from tests.engine.outside import AuditedSink
from tests.simulation.adapters import adapters, lists, with_column
from tests.simulation.source import MOVES_MAX, MovingSource

REPLICAS_MAX = 5


class Surroundings:
    """`adapters` are those of a process that begins now."""

    def __init__(self, sink: AuditedSink, faults: Faults, now: Callable[[], datetime]) -> None:
        self.adapters = adapters()
        self.sink = sink
        self.source = MovingSource(lists(faults.random), self.adapters.values(), faults.random, now)
        self._faults = faults
        self._replicas: list[AuditedSink] = []
        self._columns = 0

    def move_source(self) -> None:
        for _ in range(self._faults.random.randint(1, MOVES_MAX)):
            self.source.move()

    def copy_database(self) -> None:
        """As far as a replica has come."""
        self._replicas = [*self._replicas, self.sink.copy()][-REPLICAS_MAX:]

    def fail_over(self) -> None:
        """The database loses its last commits."""
        if self._replicas:
            self._replicas = self._replicas[: self._faults.random.randrange(len(self._replicas)) + 1]
            self.sink.fail_over(self._replicas[-1])
            self._faults.note("the database", f"has lost all but its first {len(self.sink.committed)} pages")

    def change_manifests(self) -> None:
        """Fetchers that begin from now on know one more column."""
        self._columns += 1
        self.adapters |= {name: with_column(one, f"column_{self._columns}") for name, one in self.adapters.items()}
        self._faults.note("the manifests", f"have {self._columns} columns more")
