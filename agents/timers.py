"""The deadlines of the workflows in one's partitions, in memory: rebuilt from the table, never the truth. Pure."""

import heapq
from collections.abc import Iterable, Mapping


class Timers:
    """One entry per workflow: setting a deadline replaces the one before. Size: as many as there are workflows."""

    def __init__(self) -> None:
        self._due: dict[str, int] = {}
        self._heap: list[tuple[int, str]] = []

    def set(self, key: str, due: int) -> None:
        """The workflow's deadline (Unix ms) from now on; 0 for none."""
        if not due:
            self._due.pop(key, None)
            return
        scheduled = self._due.get(key)
        self._due[key] = due
        if scheduled is None or due < scheduled:
            heapq.heappush(self._heap, (due, key))

    def pop_due(self, now: int) -> list[tuple[str, int]]:
        """Every workflow whose deadline has passed, with it; each is told once."""
        told = []
        while self._heap and self._heap[0][0] <= now:
            _, key = heapq.heappop(self._heap)
            due = self._due.get(key)
            if due is None:
                continue
            if due > now:  # it was moved since: sleep on until then
                heapq.heappush(self._heap, (due, key))
                continue
            del self._due[key]
            told.append((key, due))
        return told


class PartitionTimers:
    """The timers of every partition that the process holds."""

    def __init__(self) -> None:
        self._timers: dict[int, Timers] = {}

    def rebuild(self, deadlines: Mapping[int, Iterable[tuple[str, int]]]) -> None:
        """After an assignment: the partitions that are held now, with the deadlines in their records."""
        self._timers = {partition: Timers() for partition in deadlines}
        for partition, entries in deadlines.items():
            self.update(partition, entries)

    def update(self, partition: int, entries: Iterable[tuple[str, int]]) -> None:
        timers = self._timers.setdefault(partition, Timers())
        for key, due in entries:
            timers.set(key, due)

    def pop_due(self, now: int) -> dict[int, list[tuple[str, int]]]:
        """What is due, by partition; partitions with nothing due are left out."""
        told = {partition: timers.pop_due(now) for partition, timers in self._timers.items()}
        return {partition: due for partition, due in told.items() if due}
