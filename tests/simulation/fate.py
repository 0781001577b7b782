"""What can happen to a process: it dies at an instant, its clock is wrong, and what is outside answers when it does."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random

from tests.engine.local import MovableClock
from topics.errors import Retryable

SPINS = 8  # turns of the event loop after which whatever was let go has mostly come to its next gate
STEP_SECONDS = 0.001  # what anything outside takes at least
AFTER_SECONDS = (None, 0.0, 30.0)  # what a failing API asks for


class Died(BaseException):
    """The process ends here; nothing in the product may catch it."""


@dataclass
class Fate:
    """The seed's hand: all that is random in a history. `trace` tells what happened, in order.

    `deaths` is the rate of dying at each instant, `trouble` that of a failing database or API.
    """

    random: Random
    trace: list[str] = field(default_factory=list)
    deaths: float = 0.0
    trouble: float = 0.0

    def happens(self, rate: float) -> bool:
        return rate > 0 and self.random.random() < rate

    def note(self, who: str, what: str) -> None:
        self.trace.append(f"{who}: {what}")

    def instant(self, who: str, where: str) -> None:
        """A process may die here."""
        if self.happens(self.deaths):
            self.note(who, f"dies {where}")
            raise Died

    def fail(self, who: str, what: str) -> None:
        """Something outside may fail here."""
        if self.happens(self.trouble):
            self.note(who, what)
            raise Retryable(what, self.random.choice(AFTER_SECONDS))


class WrongClock:
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


class Gate:
    """Where the tasks of a process wait for the outside. Each is let through when the world says so, in any order."""

    def __init__(self, fate: Fate, clock: MovableClock) -> None:
        self._fate = fate
        self._clock = clock
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self._is_closed = False

    async def through(self, after_seconds: float = 0.0) -> None:
        if self._is_closed:
            raise asyncio.CancelledError
        passage: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((self._clock.now_ms + int(after_seconds * 1000), passage))
        await passage

    async def open_one(self) -> bool:
        """Let one through whose time has come; False if there is none."""
        ready = [waiting for waiting in self._waiting if waiting[0] <= self._clock.now_ms]
        if not ready:
            return False
        chosen = ready[self._fate.random.randrange(len(ready))]
        self._waiting.remove(chosen)
        if not chosen[1].done():
            chosen[1].set_result(None)
        self._clock.advance(STEP_SECONDS)
        await settle()
        return True

    @property
    def opens_in(self) -> float:
        """Seconds until the next one may go, or something else may have happened."""
        now = self._clock.now_ms
        return max(min((at - now for at, _ in self._waiting), default=0) / 1000, 0.0) + STEP_SECONDS

    def close(self) -> None:
        """The process is gone: nobody comes through any more."""
        self._is_closed = True
        for _, passage in self._waiting:
            passage.cancel()
        self._waiting.clear()


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop that lives by the world's clock: its timers wait for nothing real."""

    def __init__(self, clock: MovableClock) -> None:
        self._true = clock
        super().__init__()

    def time(self) -> float:
        return self._true.monotonic()


async def settle() -> None:
    for _ in range(SPINS):
        await asyncio.sleep(0)
