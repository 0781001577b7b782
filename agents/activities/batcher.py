"""Batching of concurrent calls: calls that arrive while a batch is under way share the next one (group commit).

A call that comes alone is not delayed; under load one statement carries many calls.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Generic, TypeVar

from topics.errors import Broken, Retryable

T = TypeVar("T")
R = TypeVar("R")

BatchCall = Callable[[Sequence[T]], Awaitable[Sequence[R | Exception]]]


class Batcher(Generic[T, R]):
    """`await batcher(item)` returns what the batch call returned for the item.

    At most `concurrency_max` batches are under way, at most `group_concurrency_max` of them of one group (None: any),
    and each of at most `batch_size_max` in all (an item counts what `size_of` says; a larger one goes alone). Groups
    take turns. If a batch fails, each of its items gets the error, and if the error names a time
    (Retryable.after_seconds), whatever waits in the group gets it, too: it would wait for nothing. What waits is
    bounded by the callers: each waits for its answer.
    """

    def __init__(
        self,
        call: BatchCall[T, R],
        *,
        batch_size_max: int,
        concurrency_max: int,
        group_concurrency_max: int | None = None,
        group_of: Callable[[T], Hashable] = lambda item: None,
        size_of: Callable[[T], int] = lambda item: 1,
    ) -> None:
        self._call = call
        self._batch_size_max = batch_size_max
        self._concurrency_max = concurrency_max
        self._group_concurrency_max = group_concurrency_max or concurrency_max
        self._group_of = group_of
        self._size_of = size_of
        self._waiting: dict[Hashable, deque[tuple[T, asyncio.Future[R]]]] = {}
        self._running: dict[asyncio.Task[None], Hashable] = {}  # with its group

    async def __call__(self, item: T) -> R:
        answer: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(self._group_of(item), deque()).append((item, answer))
        self._flush()
        return await answer

    def _flush(self) -> None:
        while len(self._running) < self._concurrency_max:
            running = list(self._running.values())
            free = (group for group in self._waiting if running.count(group) < self._group_concurrency_max)
            try:
                group = next(free)
            except StopIteration:
                return
            queue = self._waiting.pop(group)
            items = self._take(queue)
            if queue:
                self._waiting[group] = queue  # behind the other groups
            task = asyncio.create_task(self._run(group, items))
            self._running[task] = group
            task.add_done_callback(self._ran)

    def _take(self, queue: deque[tuple[T, asyncio.Future[R]]]) -> list[tuple[T, asyncio.Future[R]]]:
        items = [queue.popleft()]
        left = self._batch_size_max - self._size_of(items[0][0])
        while queue and (size := self._size_of(queue[0][0])) <= left:
            items.append(queue.popleft())
            left -= size
        return items

    def _ran(self, task: asyncio.Task[None]) -> None:
        del self._running[task]
        self._flush()

    async def _run(self, group: Hashable, items: Sequence[tuple[T, asyncio.Future[R]]]) -> None:
        try:
            answers = await self._call([item for item, _ in items])
            if len(answers) != len(items):
                raise Broken(f"a batch of {len(items)} items came back with {len(answers)} answers")
        except Exception as error:  # every kind: it belongs to the callers, not to this task
            is_of_group = isinstance(error, Retryable) and error.after_seconds is not None
            waiting = self._waiting.pop(group, ()) if is_of_group else ()
            for _, answer in (*items, *waiting):
                if not answer.done():
                    answer.set_exception(error)
            return
        for (_, answer), result in zip(items, answers, strict=True):
            if answer.done():
                continue
            if isinstance(result, Exception):
                answer.set_exception(result)
            else:
                answer.set_result(result)
