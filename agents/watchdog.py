"""Watchdogs of any process: it was frozen, or something in it waits and makes no progress.

Ending the process costs nothing that is committed: the supervisor starts a fresh one, which continues from there.
"""

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Iterable
from typing import Any, NamedTuple, NoReturn

from topics.errors import Broken

log = logging.getLogger("sluice.watchdog")

REBALANCE_SECONDS_MAX = 120.0
# What waits, and could be worked on, makes progress within so long. Longer than a rebalance, during which nothing may
# move, and a publish that fails in the end (60 s) together.
PROGRESS_SECONDS_MAX = REBALANCE_SECONDS_MAX + 60.0
CHECK_SECONDS = 5.0
BROKER_SECONDS_MAX = 20.0  # for the broker to say how much there is; without an answer the last known value counts
COUNTED_SECONDS_MAX = CHECK_SECONDS + BROKER_SECONDS_MAX  # of the time since the last check: a machine may have slept
EXIT_FROZEN = 72
EXIT_NO_PROGRESS = 73


class FreezeDetector:
    """When the process was last seen running.

    One that stood still for longer than its session has lost its partitions to another process and must not continue.
    """

    def __init__(self) -> None:
        self._seen_at = time.monotonic()

    def seen(self) -> None:
        self._seen_at = time.monotonic()

    def check(self, seconds_max: float) -> None:
        """End the process, at once, if it was not seen for so long."""
        if time.monotonic() - self._seen_at > seconds_max:
            os._exit(EXIT_FROZEN)


class Probe(NamedTuple):
    """How much waits of something (None: not known now), and a value that changes with each step of progress."""

    name: str
    waiting: int | None
    progress: Hashable
    seconds_max: float


class ProgressWatch:
    """Finds what waits and makes no progress. Only time in which somebody checked counts. Pure; sized by the probes."""

    def __init__(self) -> None:
        self._checked_at: float | None = None
        self._still: dict[str, tuple[Probe, float]] = {}

    def stuck(self, now: float, probes: Iterable[Probe]) -> str | None:
        """The reason to end, if something has made no progress for too long. A probe left out starts anew."""
        passed = 0.0 if self._checked_at is None else min(now - self._checked_at, COUNTED_SECONDS_MAX)
        before, self._still, self._checked_at = self._still, {}, now
        reason = None
        for probe in probes:
            last, still = before.get(probe.name, (probe, -passed))
            known = probe if probe.waiting is not None else probe._replace(waiting=last.waiting)
            still = still + passed if known.waiting and known.progress == last.progress else 0.0
            self._still[probe.name] = known, still
            if still > probe.seconds_max:
                reason = f"{probe.name}: {known.waiting} waiting, and no progress for {still:.0f} s"
        return reason


def end_process(reason: str) -> NoReturn:
    """At once: what is stuck cannot be asked to stop."""
    log.critical("%s: this process ends so that a fresh one continues from the last commit", reason)
    os._exit(EXIT_NO_PROGRESS)


async def watch_progress(probes: Callable[[], Awaitable[list[Probe]]]) -> NoReturn:
    """For as long as the process lives: end it when something makes no progress."""
    watch = ProgressWatch()
    while True:
        await asyncio.sleep(CHECK_SECONDS)
        reason = watch.stuck(time.monotonic(), await probes())
        if reason is not None:
            end_process(reason)


async def run_beside(main: Coroutine[Any, Any, None], *aside: Coroutine[Any, Any, None]) -> None:
    """Run `main` to its end, with others beside it that never end by themselves.

    Broken if one of them does: a process without its watchdog, or without its commits, must not continue.
    """
    work = asyncio.create_task(main)
    others = [asyncio.create_task(one) for one in aside]
    try:
        await asyncio.wait({work, *others}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            ended = next(task for task in others if task.done())
            cause = None if ended.cancelled() else ended.exception()
            raise Broken(f"a task that watches the process, or commits for it, has ended: {cause!r}") from cause
        await work
    finally:
        for task in (work, *others):
            task.cancel()
        await asyncio.gather(work, *others, return_exceptions=True)
