"""A clock that stands still until it is moved."""

from datetime import UTC, datetime

T0 = 1_700_000_000_000  # Unix ms: when every engine begins


class MovableClock:
    """Sleeping moves it."""

    def __init__(self, start_ms: int = T0) -> None:
        self.now_ms = start_ms

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.now_ms / 1000, UTC)

    def monotonic(self) -> float:
        return self.now_ms / 1000

    def advance(self, seconds: float) -> None:
        self.now_ms += int(seconds * 1000)

    async def sleep(self, seconds: float) -> None:
        self.advance(seconds)


class SkewedClock:
    """A process's clock: wrong by `skew_ms`, which may change at any time. What it measures between is right."""

    def __init__(self, true: MovableClock) -> None:
        self._true = true
        self.skew_ms = 0

    @property
    def now_ms(self) -> int:
        return self._true.now_ms + self.skew_ms

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.now_ms / 1000, UTC)

    def monotonic(self) -> float:
        return self._true.now_ms / 1000
