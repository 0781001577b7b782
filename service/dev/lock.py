"""A lock between processes on one machine. It ends with the process that holds it, however that one ends."""

import asyncio
import fcntl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from service.clock import Clock
from topics.errors import Retryable

POLL_SECONDS = 0.2


class Busy(Retryable):
    """Another process holds the lock."""


@asynccontextmanager
async def held(path: Path, wait_seconds: float, clock: Clock) -> AsyncIterator[None]:
    """Hold the lock file `path` (its directory exists). Busy if another process holds it for `wait_seconds`."""
    with path.open("a") as file:
        deadline = clock.monotonic() + wait_seconds
        while not _try_lock(file.fileno()):
            if clock.monotonic() >= deadline:
                raise Busy(
                    f"another sluice process has been at work for {wait_seconds:.0f} s and holds {path}; "
                    "try again when it is done"
                )
            await asyncio.sleep(POLL_SECONDS)
        yield


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
