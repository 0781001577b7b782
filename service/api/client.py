"""The client of all APIs: pages with login, rate limits and repeated attempts.

A page is tried as often as agents.core.retry.PAGE says, for RETRY_SECONDS_MAX at most; then it is Retryable, with the
last reason. What a repetition cannot change is Rejected at once. No error shows a secret, or a query, where one may be.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import NamedTuple, TypeVar

import msgspec

from agents.core.retry import PAGE
from manifests.entity import AdapterFile, Entity
from service.api.connections import Connection, OAuth
from service.api.credentials import Account, Login, StaticAccount
from service.api.errors import error_for, retry_after, source_time
from service.api.exchange import Request, Response
from service.api.limits import Limiter, Sleep
from service.api.oauth import OAuthAccount
from service.api.requests import PageRequest
from service.api.transport import Transport
from service.clock import Clock
from topics.errors import Rejected, Retryable

RETRY_SECONDS_MAX = 180.0  # from the first attempt's failure; no attempt begins after it
PATIENCE_SECONDS_MAX = 90.0  # a server that asks for a longer wait makes its page Retryable, with the time
CONNECTIONS_MAX = 10_000  # whose state is kept; beyond, the oldest idle one is forgotten

_TOO_MANY = 429
_UNAUTHORISED = 401

log = logging.getLogger("sluice.api")
T = TypeVar("T")


class Asked(NamedTuple):
    """The moment before a request, by our clock and by the source's (None: it does not say)."""

    at: datetime
    by_source: datetime | None


Read = Callable[[bytes, Asked], Awaitable[T]]


class _ConnectionState(msgspec.Struct, frozen=True):
    """What lasts from one request of a connection to the next."""

    limiter: Limiter
    account: Account


class _Call(msgspec.Struct, frozen=True):
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
        transport: Transport,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._clock = clock
        self._random = random
        self._home = home
        self._environment = environment
        self._transport = transport
        self._sleep = sleep
        self._states: dict[str, _ConnectionState] = {}

    async def get(
        self,
        connection: Connection,
        adapter: AdapterFile,
        entity: Entity,
        request: PageRequest,
        read: Read[T],
    ) -> T:
        """The page, as `read` understands its body, which it gets with when it was asked for. A Retryable out
        of `read` counts as a failed attempt.

        Retryable: not now. Gone: the parent no longer exists, and there is nothing to read below it. Rejected: a person
        has to change something.
        """
        call = _Call(connection, adapter, _headers(adapter, entity), request)
        state = self._state(call)
        attempt, failed_at = 1, None
        while True:
            try:
                return await self._attempt(state, call, read)
            except Retryable as error:
                failure = error
            now = self._clock.monotonic()
            failed_at = now if failed_at is None else failed_at
            wait = self._wait_seconds(attempt, failure)
            is_over = now - failed_at + wait > RETRY_SECONDS_MAX or wait > PATIENCE_SECONDS_MAX
            if is_over or PAGE.is_exhausted(attempt):
                raise Retryable(f"{failure} (attempt {attempt} of {PAGE.attempts_max})", failure.after_seconds)
            facts = {"sluice.reason": str(failure), "sluice.wait_seconds": round(wait, 1)}
            log.info("page request failed", extra=facts)
            await self._sleep(wait)
            attempt += 1

    async def close(self) -> None:
        await self._transport.close()

    async def _attempt(self, state: _ConnectionState, call: _Call, read: Read[T]) -> T:
        login = await state.account.login()
        response, asked = await self._send(state, call, login)
        if response.status == _UNAUTHORISED:
            refused, login = login, await state.account.login(refused=login)
            if login.authorization != refused.authorization:
                response, asked = await self._send(state, call, login)
        if not response.is_success:
            raise error_for(response, call.name, call.request.is_under_parent, self._clock.now(), login.hide)
        try:
            return await read(response.body, asked)
        except (Retryable, Rejected) as failure:
            raise type(failure)(login.hide(f"{call.name}: {failure}")) from None

    async def _send(self, state: _ConnectionState, call: _Call, login: Login) -> tuple[Response, Asked]:
        """The answer, and when it was asked for."""
        async with state.limiter.turn(call.request.rank) as turn:
            requested_at, started = self._clock.now(), self._clock.monotonic()
            response = await self._transport.exchange(
                Request(call.name, "GET", call.request.url, call.headers, login.authorization)
            )
            is_refused = response.status == _TOO_MANY
            wait = retry_after(response.headers, self._clock.now()) if is_refused else None
            turn.read(response.headers, is_refused, wait)
            took = timedelta(seconds=self._clock.monotonic() - started)
            return response, Asked(requested_at, source_time(response.headers, took))

    def _wait_seconds(self, attempt: int, failure: Retryable) -> float:
        """Full jitter, so that those that failed together do not come back together; never before Retry-After."""
        return max(self._random.uniform(0, PAGE.wait_seconds(attempt)), failure.after_seconds or 0.0)

    def _state(self, call: _Call) -> _ConnectionState:
        connection = call.connection
        state = self._states.get(connection.key)
        if state is None:
            self._forget_idle()
            limiter = Limiter(connection.key, call.adapter.limit, connection.concurrency, self._clock, self._sleep)
            state = self._states[connection.key] = _ConnectionState(limiter, self._account(connection))
        return state

    def _forget_idle(self) -> None:
        if len(self._states) >= CONNECTIONS_MAX:
            idle = next((key for key, state in self._states.items() if state.limiter.is_idle), None)
            if idle is not None:
                del self._states[idle]

    def _account(self, connection: Connection) -> Account:
        if not isinstance(connection.auth, OAuth):
            return StaticAccount(connection, self._environment)
        return OAuthAccount(
            connection, connection.auth, self._environment, self._home, self._transport, self._clock, self._sleep
        )


def _headers(adapter: AdapterFile, entity: Entity) -> dict[str, str]:
    headers = {"accept": "application/json"}
    for more in (adapter.headers, entity.headers):
        headers.update((name.lower(), value) for name, value in more.items())
    return headers
