"""Slots for requests of one connection: at most so many at a time, the lowest rank first."""

import asyncio
import heapq
from itertools import count


class Slots:
    """A semaphore that serves by rank. Whoever waits is bounded by the callers: each waits for one request."""

    def __init__(self, concurrency: int) -> None:
        self._free = concurrency
        self._numbers = count()
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []

    async def take(self, rank: int) -> None:
        """Take one, to be given back. Of two that wait, the one of the lower rank is served first."""
        if self._free:
            self._free -= 1
        else:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            heapq.heappush(self._waiting, (rank, next(self._numbers), turn))
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self.give()  # it was this one's turn already
                raise

    def give(self) -> None:
        while self._waiting:
            _, _, turn = heapq.heappop(self._waiting)
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
