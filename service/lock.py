"""Locks between processes on one machine. A lock ends with the process that holds it, even if that one is killed."""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from service.clock import Clock
from topics.errors import Rejected, Retryable

POLL_SECONDS = 0.2


class Busy(Retryable):
    """Another process holds the lock."""


@asynccontextmanager
async def held(
    path: Path, wait_seconds: float, clock: Clock, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
) -> AsyncIterator[None]:
    """Hold the lock file `path` (its directory exists). Busy if another process holds it for `wait_seconds`."""
    with path.open("a") as file:
        deadline = clock.monotonic() + wait_seconds
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if clock.monotonic() >= deadline:
                    raise Busy(
                        f"another sluice process has held {path} for more than {wait_seconds:.0f} s: "
                        "try again when it has ended"
                    ) from None
            await sleep(POLL_SECONDS)
        yield


@asynccontextmanager
async def single_instance(home: Path, command: str, clock: Clock) -> AsyncIterator[None]:
    """Hold `home` for `sluice COMMAND`. Rejected if another process does."""
    try:
        os.makedirs(home, exist_ok=True)
        async with held(home / f"{command}.lock", 0, clock):
            yield
    except Busy:
        raise Rejected(
            f"sluice {command} already runs in {home}: use that one, or stop it (Ctrl-C there), "
            "or set SLUICE_HOME (and SLUICE_KAFKA_PORT) for a second installation"
        ) from None
