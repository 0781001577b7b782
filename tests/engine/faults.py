"""Faults of a process: it dies at a crash point, and what is outside is slow, or fails."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import Any

from tests.engine.clock import MovableClock
from topics.errors import Retryable

SPINS = 8  # turns of the event loop after which a released task has mostly reached its next gate
STEP_SECONDS = 0.001  # what anything outside takes at least
AFTER_SECONDS = (None, 0.0, 30.0)  # what a failing API asks for


class Died(BaseException):
    """The process ends here; nothing in the product may catch it."""


@dataclass
class Faults:
    """Everything random in a history. `trace` is what happened, in order.

    `deaths` is the rate of dying at each crash point, `trouble` that of a failing database or API.
    """

    random: Random
    trace: list[str] = field(default_factory=list)
    deaths: float = 0.0
    trouble: float = 0.0

    def happens(self, rate: float) -> bool:
        return rate > 0 and self.random.random() < rate

    def note(self, who: str, what: str) -> None:
        self.trace.append(f"{who}: {what}")

    def crash_point(self, who: str, where: str) -> None:
        """A process may die here."""
        if self.happens(self.deaths):
            self.note(who, f"dies {where}")
            raise Died

    def publishing(self, who: str, where: str, deliver: Callable[[], None]) -> None:
        """A process may die here, with some of what it published on the broker already."""
        if self.happens(self.deaths):
            deliver()
            self.crash_point(who, where)

    def fail(self, who: str, what: str) -> None:
        """Something outside may fail here."""
        if self.happens(self.trouble):
            self.note(who, what)
            raise Retryable(what, self.random.choice(AFTER_SECONDS))


class CrashPoints(Faults):
    """No faults but the crash points at which `may_crash`, called with the name of each, raises Died."""

    def __init__(self, may_crash: Callable[[str], None]) -> None:
        super().__init__(Random(0))
        self._may_crash = may_crash

    def crash_point(self, who: str, where: str) -> None:
        self._may_crash(where)

    def publishing(self, who: str, where: str, deliver: Callable[[], None]) -> None:
        deliver()
        self._may_crash(where)


def dies_at(fatal: int) -> Callable[[str], None]:
    """For CrashPoints: a process dies at the crash point of this number, counted from 0."""
    reached = count()

    def may_crash(where: str) -> None:
        if next(reached) == fatal:
            raise Died

    return may_crash


class Gate:
    """Where the tasks of a process wait for the outside. Each is let through by the engine, in any order."""

    def __init__(self, faults: Faults, clock: MovableClock) -> None:
        self._faults = faults
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
        chosen = ready[self._faults.random.randrange(len(ready))]
        self._waiting.remove(chosen)
        if not chosen[1].done():
            chosen[1].set_result(None)
        self._clock.advance(STEP_SECONDS)
        await spin()
        return True

    @property
    def opens_in(self) -> float:
        """Seconds until the next one may go, or something else may have happened."""
        now = self._clock.now_ms
        return max(min((at - now for at, _ in self._waiting), default=0) / 1000, 0.0) + STEP_SECONDS

    def close(self) -> None:
        """The process is gone: nothing comes through any more."""
        self._is_closed = True
        for _, passage in self._waiting:
            passage.cancel()
        self._waiting.clear()


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop that lives by a movable clock: its timers wait for nothing real."""

    def __init__(self, clock: MovableClock) -> None:
        self._true = clock
        super().__init__()

    def time(self) -> float:
        return self._true.monotonic()


async def spin() -> None:
    """Let every task run that can."""
    loop: Any = asyncio.get_running_loop()
    for _ in range(SPINS):
        if not loop._ready:
            return
        await asyncio.sleep(0)
