"""Fair turns: whoever waits longest among the connections goes next, whatever the others have piled up. Pure."""

from collections import Counter, deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class FairQueue(Generic[T]):
    """Items by connection, at most `per_connection_max` of each in hand at once.

    A connection with a thousand waiting items and one with three take turns one by one. `waiting` is bounded by the
    caller, which stops reading at its own maximum.
    """

    def __init__(self, per_connection_max: int) -> None:
        self._per_connection_max = per_connection_max
        self._queues: dict[str, deque[T]] = {}
        self._in_hand: Counter[str] = Counter()
        self.waiting = 0

    def add(self, connection: str, item: T) -> None:
        self._queues.setdefault(connection, deque()).append(item)
        self.waiting += 1

    def take(self) -> tuple[str, T] | None:
        """The next item in turn, now in hand; None if nobody may go."""
        for connection, queue in self._queues.items():
            if self._in_hand[connection] < self._per_connection_max:
                item = queue.popleft()
                del self._queues[connection]
                if queue:
                    self._queues[connection] = queue  # to the end of the line
                self._in_hand[connection] += 1
                self.waiting -= 1
                return connection, item
        return None

    def done(self, connection: str) -> None:
        """An item of the connection is out of hand."""
        self._in_hand[connection] -= 1
        if not self._in_hand[connection]:
            del self._in_hand[connection]

    def drop(self, is_lost: Callable[[T], bool]) -> None:
        """Forget the waiting items that are not ours any more."""
        for connection in list(self._queues):
            kept = deque(item for item in self._queues[connection] if not is_lost(item))
            self.waiting -= len(self._queues[connection]) - len(kept)
            if kept:
                self._queues[connection] = kept
            else:
                del self._queues[connection]
