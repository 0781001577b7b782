"""Pages of APIs over HTTP: who we are, how fast, and what is tried again.

A page is tried ATTEMPTS_MAX times or for RETRY_SECONDS_MAX, then given back as Retryable with the last reason. What
a repetition cannot change is Rejected at once. No error shows a secret, or a query, where one may stand.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Generic, TypeVar

from manifests.entity import AdapterFile, Entity
from service.api.answers import problem, retry_after
from service.api.connections import Connection, OAuth
from service.api.credentials import Account, Login, StaticAccount
from service.api.limits import Limiter, Sleep
from service.api.oauth import OAuthAccount
from service.api.reply import Reply
from service.api.requests import PageRequest
from service.api.transport import HttpTransport, Transport
from service.clock import Clock
from topics.errors import Retryable, SluiceError

VERSION = "0.1.0"
USER_AGENT = f"sluice/{VERSION}"
ATTEMPTS_MAX = 6
RETRY_SECONDS_MAX = 180.0  # from the first attempt's failure; no attempt begins after it
BACKOFF_SECONDS = 0.5  # the longest wait after the first failure; doubled after each further one
BACKOFF_SECONDS_MAX = 20.0
PATIENCE_SECONDS_MAX = 90.0  # a server that wants to be left alone for longer gets its page given back
LANES_MAX = 10_000  # connections that are remembered; beyond, the oldest idle one is forgotten

_TOO_MANY = 429
_UNAUTHORISED = 401

log = logging.getLogger("sluice.api")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """A page: what the reader made of its body, and the answer's headers."""

    content: T
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Lane:
    """All that belongs to one connection: its limits, and who it is."""

    limiter: Limiter
    account: Account


@dataclass(frozen=True, slots=True)
class _Call:
    """One page to be read."""

    connection: Connection
    adapter: AdapterFile
    headers: Mapping[str, str]
    request: PageRequest

    @property
    def name(self) -> str:
        return f"{self.connection.key}: GET {self.request.path}"


class ApiClient:
    """One for a process: it holds the sockets, and each connection's budget and tokens."""

    def __init__(
        self,
        clock: Clock,
        random: Random,
        home: Path,
        environment: Mapping[str, str],
        sleep: Sleep = asyncio.sleep,
        transport: Transport | None = None,
    ) -> None:
        self._clock = clock
        self._random = random
        self._home = home
        self._environment = environment
        self._sleep = sleep
        self._transport = transport or HttpTransport()
        self._lanes: dict[str, _Lane] = {}

    async def get(
        self,
        connection: Connection,
        adapter: AdapterFile,
        entity: Entity,
        request: PageRequest,
        read: Callable[[bytes], T],
    ) -> Answer[T]:
        """The page, as `read` understands its body; a Retryable out of `read` counts as a failed attempt.

        Retryable: not now. Gone: the parent is no more, and there is nothing to read under it. Rejected: a person
        has to change something.
        """
        call = _Call(connection, adapter, _headers(adapter, entity), request)
        lane = self._lane(call)
        failed_at: float | None = None
        for attempt in range(1, ATTEMPTS_MAX + 1):
            try:
                return await self._attempt(lane, call, read)
            except Retryable as error:
                failure = error
            failed_at = self._clock.monotonic() if failed_at is None else failed_at
            wait = self._wait_seconds(attempt, failure)
            is_over = self._clock.monotonic() - failed_at + wait > RETRY_SECONDS_MAX
            if attempt == ATTEMPTS_MAX or is_over or wait > PATIENCE_SECONDS_MAX:
                break
            log.info(
                "page is tried again", extra={"sluice.reason": str(failure), "sluice.wait_seconds": round(wait, 1)}
            )
            await self._sleep(wait)
        raise Retryable(f"{failure} (attempt {attempt} of {ATTEMPTS_MAX})", failure.after_seconds)

    async def close(self) -> None:
        await self._transport.close()

    async def _attempt(self, lane: _Lane, call: _Call, read: Callable[[bytes], T]) -> Answer[T]:
        login = await lane.account.login()
        reply = await self._send(lane, call, login)
        if reply.status == _UNAUTHORISED:
            refused, login = login, await lane.account.login(refused=login)
            if login.authorization != refused.authorization:
                reply = await self._send(lane, call, login)
        if not reply.is_page:
            error = problem(reply, call.name, call.request.is_under_parent, self._clock.now())
            raise _without_secrets(error, login)
        try:
            return Answer(read(reply.body), reply.headers)
        except Retryable as failure:
            raise Retryable(login.hide(f"{call.name}: {failure}"), failure.after_seconds) from None

    async def _send(self, lane: _Lane, call: _Call, login: Login) -> Reply:
        headers = dict(call.headers)
        if login.authorization is not None:
            headers["authorization"] = login.authorization
        async with lane.limiter.turn() as turn:
            reply = await self._transport.exchange(call.name, "GET", call.request.url, headers)
            is_refused = reply.status == _TOO_MANY
            wait = retry_after(reply.headers, self._clock.now()) if is_refused else None
            turn.read(reply.headers, is_refused, wait)
            return reply

    def _wait_seconds(self, attempt: int, failure: Retryable) -> float:
        """Full jitter, so that those who failed together do not come back together; never before Retry-After."""
        longest = min(BACKOFF_SECONDS * 2 ** (attempt - 1), BACKOFF_SECONDS_MAX)
        return max(self._random.uniform(0, longest), failure.after_seconds or 0.0)

    def _lane(self, call: _Call) -> _Lane:
        connection = call.connection
        lane = self._lanes.get(connection.key)
        if lane is None:
            self._make_room()
            limiter = Limiter(connection.key, call.adapter.limit, connection.concurrency, self._clock, self._sleep)
            lane = self._lanes[connection.key] = _Lane(limiter, self._account(connection))
        return lane

    def _make_room(self) -> None:
        if len(self._lanes) >= LANES_MAX:
            idle = next((key for key, lane in self._lanes.items() if lane.limiter.is_idle), None)
            if idle is not None:
                del self._lanes[idle]

    def _account(self, connection: Connection) -> Account:
        if not isinstance(connection.auth, OAuth):
            return StaticAccount(connection, self._environment)
        return OAuthAccount(
            connection,
            connection.auth,
            self._environment,
            self._home,
            self._transport,
            self._clock,
            self._sleep,
            USER_AGENT,
        )


def _headers(adapter: AdapterFile, entity: Entity) -> dict[str, str]:
    headers = {"user-agent": USER_AGENT, "accept": "application/json", "accept-encoding": "gzip, deflate"}
    for more in (adapter.headers, entity.headers):
        headers.update((name.lower(), value) for name, value in more.items())
    return headers


def _without_secrets(error: SluiceError, login: Login) -> SluiceError:
    sentence = login.hide(str(error))
    return Retryable(sentence, error.after_seconds) if isinstance(error, Retryable) else type(error)(sentence)
