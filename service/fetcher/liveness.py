"""Liveness of a fetcher: its progress, the longest time without progress, and detection of freezes."""

import asyncio

from agents.watchdog import FreezeDetector
from service.api.client import PATIENCE_SECONDS_MAX
from service.api.exchange import Request, Response
from service.api.limits import WAIT_SECONDS_MAX
from service.api.oauth import LOCK_SECONDS_MAX
from service.api.transport import Transport
from service.kafka.consumer import SESSION_TIMEOUT_MS

CHECK_SECONDS = 1.0
# Between two steps a page may wait as long as its API asked for, for the lock to renew a token, and twice for the rate
# limit. Each of these takes less: an exchange with an API (180 s), a call of the database with the wait for a
# connection (150 s), the wait after a failed call (8 s).
STEP_SECONDS_MAX = PATIENCE_SECONDS_MAX + LOCK_SECONDS_MAX + 2 * WAIT_SECONDS_MAX
# For one command. A lease ends by itself long before, unless a single parent has thousands of pages. If the process
# ends because of those, nothing is lost: the ledger has the committed pages.
IN_FLIGHT_SECONDS_MAX = 3_600.0


class Liveness:
    """Counts steps: everything that begins or ends for a page. Each failed attempt to reach an API or a database is a
    step, and so is the wait after it."""

    def __init__(self) -> None:
        self.steps = 0
        self._detector = FreezeDetector()

    async def watch(self) -> None:
        """End the process if it was frozen. To run while the process is a member of its group."""
        while True:
            self._detector.seen()
            await asyncio.sleep(CHECK_SECONDS)
            self.check()

    def check(self) -> None:
        """Called before each request, too: another process may have committed the pages that this one would fetch."""
        self._detector.check(SESSION_TIMEOUT_MS / 1000)

    async def sleep(self, seconds: float) -> None:
        """Wait between two attempts."""
        self.steps += 1
        await asyncio.sleep(seconds)


class WatchedTransport:
    """A transport that counts a step before and after each exchange."""

    def __init__(self, transport: Transport, liveness: Liveness) -> None:
        self._transport = transport
        self._liveness = liveness

    async def exchange(self, request: Request) -> Response:
        self._liveness.check()
        self._liveness.steps += 1
        try:
            return await self._transport.exchange(request)
        finally:
            self._liveness.steps += 1

    async def close(self) -> None:
        await self._transport.close()
