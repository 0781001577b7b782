"""Scheduling of commands: fair turns between connections, and offsets in order for work out of order. Pure."""

from collections import Counter, deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class FairQueue(Generic[T]):
    """Items by connection: at most `in_flight_max` in flight at once, at most `per_connection_max` of each connection.

    A connection with a thousand waiting items and one with three take turns, one item each. The second half of the
    places is for connections that have none, so that those whose items hang do not take them all. The caller bounds
    `waiting`: it stops reading at its own maximum.
    """

    def __init__(self, in_flight_max: int, per_connection_max: int) -> None:
        self._in_flight_max = in_flight_max
        self._per_connection_max = per_connection_max
        self._queues: dict[str, deque[T]] = {}
        self._in_flight: Counter[str] = Counter()
        self._all_in_flight = 0
        self.waiting = 0

    def add(self, connection: str, item: T) -> None:
        self._queues.setdefault(connection, deque()).append(item)
        self.waiting += 1

    def take(self) -> tuple[str, T] | None:
        """Take the next item, which is in flight from now on; None if no connection may have another one."""
        if self._all_in_flight >= self._in_flight_max:
            return None
        allowed = self._per_connection_max if self._all_in_flight < self._in_flight_max // 2 else 1
        for connection, queue in self._queues.items():
            if self._in_flight[connection] < allowed:
                item = queue.popleft()
                del self._queues[connection]
                if queue:
                    self._queues[connection] = queue  # after the other connections
                self._in_flight[connection] += 1
                self._all_in_flight += 1
                self.waiting -= 1
                return connection, item
        return None

    def done(self, connection: str) -> None:
        """Count one item of the connection as no longer in flight."""
        self._in_flight[connection] -= 1
        self._all_in_flight -= 1
        if not self._in_flight[connection]:
            del self._in_flight[connection]

    def drop(self, is_lost: Callable[[T], bool]) -> None:
        """Remove the waiting items that are lost."""
        for connection in list(self._queues):
            kept = deque(item for item in self._queues[connection] if not is_lost(item))
            self.waiting -= len(self._queues[connection]) - len(kept)
            if kept:
                self._queues[connection] = kept
            else:
                del self._queues[connection]


class OffsetTracker:
    """Offsets of one partition: all below `next_offset` are done.

    Memory: the records from the first unfinished one on, bounded by the reader.
    """

    def __init__(self) -> None:
        self._begun: deque[int] = deque()
        self._ended: set[int] = set()
        self.next_offset: int | None = None  # None: nothing to commit
        self.read_offset: int | None = None  # behind the last record that was begun; None: there is none yet

    def __len__(self) -> int:
        """The number of unfinished records."""
        return len(self._begun) - len(self._ended)

    @property
    def uncommitted(self) -> int:
        """The number of records from the first unfinished one on."""
        return len(self._begun)

    def begin(self, offset: int) -> None:
        """Count the record as unfinished. Offsets begin in rising order."""
        self._begun.append(offset)
        self.read_offset = offset + 1

    def end(self, offset: int) -> None:
        """Count the record as done: its effect is in the database, its result on the broker."""
        self._ended.add(offset)
        while self._begun and self._begun[0] in self._ended:
            done = self._begun.popleft()
            self._ended.discard(done)
            self.next_offset = done + 1
