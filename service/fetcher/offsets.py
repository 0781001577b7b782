"""Which offset may be committed while commands are worked on out of order. Pure."""

from collections import deque


class Offsets:
    """One partition: everything below `next_offset` is done. Size: the commands in hand, which the fetcher bounds."""

    def __init__(self) -> None:
        self._begun: deque[int] = deque()
        self._ended: set[int] = set()
        self.next_offset: int | None = None  # None: nothing is done yet

    def begin(self, offset: int) -> None:
        """The record is in hand. Offsets begin in rising order."""
        self._begun.append(offset)

    def end(self, offset: int) -> None:
        """The record is done with: its effect is in the database, its result on the broker."""
        self._ended.add(offset)
        while self._begun and self._begun[0] in self._ended:
            done = self._begun.popleft()
            self._ended.discard(done)
            self.next_offset = done + 1
