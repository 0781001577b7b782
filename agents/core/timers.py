"""The deadlines of the workflows in one's partitions, in memory: rebuilt from the table, never the truth. Pure."""

import heapq
from collections.abc import Iterable, Mapping

TELL_AGAIN_MS = 300_000  # of a deadline that was told and has not been moved: the message may be lost
WAIT_MS_MAX = 660_000  # nobody waits longer, but for a record that leaves the table after days (RETIRES_MS_MIN)
RETIRES_MS_MIN = 86_400_000
DOUBT_MS = 30_000  # what lies between was set by a clock that was wrong: told after so long, once, and again when due


class Timers:
    """One deadline per workflow: setting one replaces the one before. Size: as many as there are workflows."""

    def __init__(self) -> None:
        self._due: dict[str, int] = {}
        self._tell_at: dict[str, int] = {}  # the deadline; before it, if it is doubted; behind it, if it was told
        self._wakes: dict[str, int] = {}  # when to look at a workflow: its entry in the heap that counts
        self._heap: list[tuple[int, str]] = []

    def set(self, key: str, due: int, now: int) -> None:
        """The workflow's deadline (Unix ms) from now on; 0 for none."""
        if not due:
            for known in (self._due, self._tell_at, self._wakes):
                known.pop(key, None)
            return
        at = now + DOUBT_MS if WAIT_MS_MAX < due - now < RETIRES_MS_MIN else due
        self._due[key], self._tell_at[key] = due, at
        if at < self._wakes.get(key, at + 1):
            self._wake(key, at)

    def pop_due(self, now: int) -> list[tuple[str, int]]:
        """Every workflow whose deadline has passed, with it; told again after TELL_AGAIN_MS unless it was moved."""
        told = []
        while self._heap and self._heap[0][0] <= now:
            at, key = heapq.heappop(self._heap)
            if self._wakes.get(key) != at:
                continue  # an earlier entry, or the deadline was taken away
            if self._tell_at[key] <= now:
                due = self._due[key]
                told.append((key, due))
                self._tell_at[key] = due if due > now else now + TELL_AGAIN_MS
            self._wake(key, self._tell_at[key])
        return told

    def _wake(self, key: str, at: int) -> None:
        self._wakes[key] = at
        heapq.heappush(self._heap, (at, key))


class PartitionTimers:
    """The timers of every partition that the process holds."""

    def __init__(self) -> None:
        self._timers: dict[int, Timers] = {}

    def rebuild(self, deadlines: Mapping[int, Iterable[tuple[str, int]]], now: int) -> None:
        """After an assignment: the partitions that are held now, with the deadlines in their records."""
        self._timers = {partition: Timers() for partition in deadlines}
        for partition, entries in deadlines.items():
            self.update(partition, entries, now)

    def update(self, partition: int, entries: Iterable[tuple[str, int]], now: int) -> None:
        timers = self._timers.setdefault(partition, Timers())
        for key, due in entries:
            timers.set(key, due, now)

    def pop_due(self, now: int) -> dict[int, list[tuple[str, int]]]:
        """What is due, by partition; partitions with nothing due are left out."""
        told = {partition: timers.pop_due(now) for partition, timers in self._timers.items()}
        return {partition: due for partition, due in told.items() if due}
