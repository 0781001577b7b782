"""Calls that come at the same time share one trip: what arrives while a trip is under way goes together in the next.

This is the group commit: alone, a call costs what it always did; under load, a trip carries many.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Generic, TypeVar

from topics.errors import Broken

T = TypeVar("T")
R = TypeVar("R")

BatchCall = Callable[[Sequence[T]], Awaitable[Sequence[R | Exception]]]


class Batcher(Generic[T, R]):
    """`await call(item)` answers what the trip answered for the item.

    At most `trips_max` trips are under way, each of one group and of at most `size_max` in all (an item counts what
    `size_of` says; one that is larger travels alone). Groups take turns. If a trip fails, each of its items gets the
    error. What waits is bounded by the callers: each waits for its answer.
    """

    def __init__(
        self,
        trip: BatchCall[T, R],
        *,
        batch_size_max: int,
        concurrency_max: int,
        group_of: Callable[[T], Hashable] = lambda item: None,
        size_of: Callable[[T], int] = lambda item: 1,
    ) -> None:
        self._trip = trip
        self._size_max = batch_size_max
        self._size_of = size_of
        self._trips_max = concurrency_max
        self._group_of = group_of
        self._waiting: dict[Hashable, deque[tuple[T, asyncio.Future[R]]]] = {}
        self._under_way: set[asyncio.Task[None]] = set()

    async def __call__(self, item: T) -> R:
        answer: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(self._group_of(item), deque()).append((item, answer))
        self._depart()
        return await answer

    def _depart(self) -> None:
        while self._waiting and len(self._under_way) < self._trips_max:
            group = next(iter(self._waiting))
            queue = self._waiting.pop(group)
            passengers = self._board(queue)
            if queue:
                self._waiting[group] = queue  # behind the other groups
            task = asyncio.create_task(self._travel(passengers))
            self._under_way.add(task)
            task.add_done_callback(self._arrived)

    def _board(self, queue: deque[tuple[T, asyncio.Future[R]]]) -> list[tuple[T, asyncio.Future[R]]]:
        passengers = [queue.popleft()]
        room = self._size_max - self._size_of(passengers[0][0])
        while queue and (size := self._size_of(queue[0][0])) <= room:
            passengers.append(queue.popleft())
            room -= size
        return passengers

    def _arrived(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._depart()

    async def _travel(self, passengers: Sequence[tuple[T, asyncio.Future[R]]]) -> None:
        try:
            answers = await self._trip([item for item, _ in passengers])
            if len(answers) != len(passengers):
                raise Broken(f"a trip with {len(passengers)} items came back with {len(answers)} answers")
        except Exception as error:  # every kind: it belongs to the callers, not to this task
            for _, answer in passengers:
                if not answer.done():
                    answer.set_exception(error)
            return
        for (_, answer), result in zip(passengers, answers, strict=True):
            if answer.done():
                continue
            if isinstance(result, Exception):
                answer.set_exception(result)
            else:
                answer.set_result(result)
