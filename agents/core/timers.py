"""Timers: the deadlines of the workflows in one's partitions, in memory and rebuilt from the table. Pure."""

import heapq
from collections.abc import Iterable, Mapping

from tables.row import Deadline

REPEAT_MS = 300_000  # a deadline that passed and has not been moved is sent again: its message may be lost
HEAP_SLACK = 64  # stale entries that are tolerated beside one per workflow


class Timers:
    """One deadline per workflow: setting one replaces the one before. Memory: bounded by the workflows, not by runs."""

    def __init__(self) -> None:
        self._due: dict[str, int] = {}
        self._wakes: dict[str, int] = {}  # by workflow the entry of the heap that counts
        self._heap: list[tuple[int, str]] = []

    def __len__(self) -> int:
        return len(self._heap)

    def set(self, key: str, deadline: Deadline, now: int) -> None:
        """The workflow's deadline from now on.

        `now` is our clock, the deadline's times are the broker's. A deadline that was set in our future comes from
        clocks that differ: then the distance counts, from now on.
        """
        due, distance = deadline.due, deadline.due - deadline.due_set_at
        if due != self._due.get(key, 0):
            self._set(key, due, due if deadline.due_set_at <= now else now + distance)

    def postpone(self, key: str, due: int, wake: int) -> None:
        """The deadline `due` is not reached by the broker's clock: send it at `wake` on ours, unless it was moved."""
        if self._due.get(key) == due:
            self._wake(key, wake)

    def pop_due(self, now: int) -> list[tuple[str, int]]:
        """Every workflow whose deadline has passed, with it; again after REPEAT_MS unless it was moved."""
        passed = []
        while self._heap and self._heap[0][0] <= now:
            wake, key = heapq.heappop(self._heap)
            if self._wakes.get(key) == wake:
                passed.append((key, self._due[key]))
                self._wake(key, now + REPEAT_MS)
        return passed

    def _set(self, key: str, due: int, wake: int) -> None:
        if due:
            self._due[key] = due
            self._wake(key, wake)
        else:
            self._due.pop(key, None)
            self._wakes.pop(key, None)
        if len(self._heap) > 2 * len(self._wakes) + HEAP_SLACK:
            self._heap = [(wake, key) for key, wake in self._wakes.items()]
            heapq.heapify(self._heap)

    def _wake(self, key: str, at: int) -> None:
        if self._wakes.get(key) != at:
            self._wakes[key] = at
            heapq.heappush(self._heap, (at, key))


class PartitionTimers:
    """The timers of every partition that the process holds."""

    def __init__(self) -> None:
        self._timers: dict[int, Timers] = {}

    def rebuild(self, deadlines: Mapping[int, Iterable[tuple[str, Deadline]]], now: int) -> None:
        """After an assignment: the partitions that are held now, with the deadlines in their records."""
        self._timers = {partition: Timers() for partition in deadlines}
        for partition, entries in deadlines.items():
            for key, deadline in entries:
                self._timers[partition].set(key, deadline, now)

    def of(self, partition: int) -> Timers:
        return self._timers.setdefault(partition, Timers())

    def pop_due(self, now: int) -> dict[int, list[tuple[str, int]]]:
        """What is due, by partition; partitions with nothing due are left out."""
        passed = {partition: timers.pop_due(now) for partition, timers in self._timers.items()}
        return {partition: due for partition, due in passed.items() if due}
