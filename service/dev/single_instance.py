"""One process at a time for what two would spoil for each other."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from service.clock import Clock
from service.dev.lock import Busy, held
from topics.errors import Rejected


@asynccontextmanager
async def single_instance(home: Path, what: str, clock: Clock) -> AsyncIterator[None]:
    """Hold `home` for `sluice WHAT` until the end. Rejected if another process does."""
    try:
        async with held(_lock_in(home, what), 0, clock):
            yield
    except Busy:
        raise Rejected(
            f"sluice {what} already runs in {home}: use that one, or stop it (Ctrl-C there), "
            "or set SLUICE_HOME (and SLUICE_KAFKA_PORT) for a second installation"
        ) from None


def _lock_in(home: Path, what: str) -> Path:
    home.mkdir(parents=True, exist_ok=True)
    return home / f"{what}.lock"
