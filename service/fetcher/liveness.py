"""Signs that a fetcher is awake and gets on with what it has in hand, and how long it may go without one."""

import asyncio
from collections.abc import Mapping
from typing import NoReturn

from agents.faust.watchdog import FreezeDetector
from service.api.client import PATIENCE_SECONDS_MAX
from service.api.limits import WAIT_SECONDS_MAX
from service.api.oauth import LOCK_SECONDS_MAX
from service.api.reply import Reply
from service.api.transport import Transport
from service.kafka.consumer import SESSION_TIMEOUT_MS

AWAKE_SECONDS = 1.0
# Between two signs of whoever gets on at all, a page may wait as long as its API asked for, for its turn among those
# who renew a token, and twice for the limit. Each of these takes less: an exchange with an API (120 s), a call of the
# database with the wait for a connection (150 s), the wait after a failed one (8 s).
SILENCE_SECONDS_MAX = PATIENCE_SECONDS_MAX + LOCK_SECONDS_MAX + 2 * WAIT_SECONDS_MAX
# Of one command, whatever the others do. A lease ends by itself long before, unless a single parent has thousands of
# pages; a process that ends over those loses nothing, since the ledger has what was committed.
IN_FLIGHT_SECONDS_MAX = 3_600.0


class Liveness:
    """Counts everything that begins or ends on the way of a page. An API or a database that is away gives signs, too:
    each failed attempt is one, and so is the wait after it."""

    def __init__(self) -> None:
        self.count = 0
        self.awake = FreezeDetector()

    async def watch_for_freezing(self) -> NoReturn:
        """For as long as the process is a member of its group."""
        while True:
            self.awake.seen()
            await asyncio.sleep(AWAKE_SECONDS)
            self.check_awake()

    def check_awake(self) -> None:
        """Before each request, too: whoever took over has committed pages that this one is about to ask for."""
        self.awake.check(SESSION_TIMEOUT_MS / 1000)

    async def sleep(self, seconds: float) -> None:
        """The wait between two attempts."""
        self.count += 1
        await asyncio.sleep(seconds)


class WatchedTransport:
    """A transport that gives a sign before and after each exchange."""

    def __init__(self, transport: Transport, signs: Liveness) -> None:
        self._transport = transport
        self._signs = signs

    async def exchange(
        self, what: str, method: str, url: str, headers: Mapping[str, str], form: Mapping[str, str] | None = None
    ) -> Reply:
        self._signs.check_awake()
        self._signs.count += 1
        try:
            return await self._transport.exchange(what, method, url, headers, form)
        finally:
            self._signs.count += 1

    async def close(self) -> None:
        await self._transport.close()
