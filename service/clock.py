"""System clock: the only module that reads the machine's time."""

import time
from datetime import UTC, datetime

from agents.ports import Clock

__all__ = ["Clock", "SystemClock"]


_SINCE_BOOT = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # the time that the machine slept counts


class SystemClock:
    """The machine's own time."""

    def __init__(self) -> None:
        self._started_ms = (time.time_ns() - time.clock_gettime_ns(_SINCE_BOOT)) // 1_000_000

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def steady_ms(self) -> int:
        """Unix ms: the wall clock as it was at the start, and the time since. It does not jump when that one is set."""
        return self._started_ms + time.clock_gettime_ns(_SINCE_BOOT) // 1_000_000
