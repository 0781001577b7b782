"""System clock: the only module that reads the machine's time."""

import time
from datetime import UTC, datetime

from agents.ports import Clock

__all__ = ["Clock", "SystemClock"]


class SystemClock:
    """The machine's own time."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()
