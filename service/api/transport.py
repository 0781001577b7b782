"""One HTTP exchange, on sockets that are kept for the next.

With 100 under way on loopback a request costs 0.019 ms of CPU, through aiohttp 0.075 (DECISIONS.md, 9).
No cookies, no redirects, no proxies: pages of an API need none of them.
"""

import asyncio
import re
import socket
import ssl
from collections import deque
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple, Protocol

from service.api.reply import Reply, TooLong, Unreadable
from service.api.wire import Broke, Wire, packed
from topics.errors import Rejected, Retryable

CONNECT_SECONDS = 10.0
SOCKETS_MAX = 512  # of a process, in use and idle, over all connections; requests beyond wait for one
IDLE_SOCKET_SECONDS = 30.0  # at least, and at most twice that, unless its room is needed
ERROR_CHARS_MAX = 300
ORIGINS_REMEMBERED_MAX = 10_000
_DEFAULT_PORT = {"http": 80, "https": 443}
_ADDRESS = re.compile(
    r"""(https?)://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]{1,253})(?::([0-9]{0,5}))?((?:[/?][!"$-~]*)?)(?:#[!-~]*)?"""
)
_HOST_NAME = re.compile(r"[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")


class Transport(Protocol):
    async def exchange(
        self, what: str, method: str, url: str, headers: Mapping[str, str], form: Mapping[str, str] | None = None
    ) -> Reply:
        """Send, and read the whole answer. `what` names the request in errors, without secrets.

        Retryable for everything that can go wrong on the way. Rejected for what cannot be sent, and for an answer
        that is too long (reply.BODY_BYTES_MAX).
        """
        ...

    async def close(self) -> None: ...


class _Origin(NamedTuple):
    """Where a socket leads to; `name` is what the Host header says."""

    host: str
    port: int
    is_tls: bool
    name: str


class HttpTransport:
    """Sockets for all logins: they know nothing of each other's, since every request says who it is."""

    def __init__(self) -> None:
        self._idle: dict[_Origin, deque[Wire]] = {}  # no origin without a socket
        self._idle_count = self._used_count = 0
        self._is_closed = False
        self._room = asyncio.Semaphore(SOCKETS_MAX)
        self._tls = ssl.create_default_context()
        self._tls.set_alpn_protocols(["http/1.1"])
        self._sweep: asyncio.TimerHandle | None = None

    async def exchange(
        self, what: str, method: str, url: str, headers: Mapping[str, str], form: Mapping[str, str] | None = None
    ) -> Reply:
        origin, target = _taken_apart(what, url)
        request = packed(what, method, origin.name, target, headers, form)
        try:
            async with self._room:
                self._used_count += 1
                try:
                    return await self._asked(origin, request, is_repeatable=method == "GET")
                finally:
                    self._used_count -= 1
        except TooLong as error:
            raise Rejected(f"{what} had {error}; make the pages smaller") from None
        except (Broke, Unreadable, OSError) as error:
            raise Retryable(f"{what} had no whole answer ({_named(error)})") from None

    async def close(self) -> None:
        """Sockets in use are closed after their answers."""
        self._is_closed = True
        if self._sweep is not None:
            self._sweep.cancel()
        while self._idle:
            self._taken(next(iter(self._idle)), -1).close()

    async def _asked(self, origin: _Origin, request: bytes, is_repeatable: bool) -> Reply:
        """On a socket that is there, if it may be asked twice: a server may just have closed it."""
        wire = self._kept(origin) if is_repeatable else None
        if wire is not None:
            try:
                return await self._ask(wire, origin, request)
            except Broke as broke:
                if not broke.is_untouched:
                    raise
        return await self._ask(await self._connected(origin), origin, request)

    async def _ask(self, wire: Wire, origin: _Origin, request: bytes) -> Reply:
        reply = await wire.ask(request)
        if self._is_closed or not wire.is_open:
            wire.close()
            return reply
        self._idle.setdefault(origin, deque()).append(wire)
        self._idle_count += 1
        if self._sweep is None:
            self._sweep = asyncio.get_running_loop().call_later(IDLE_SOCKET_SECONDS, self._close_old)
        return reply

    def _kept(self, origin: _Origin) -> Wire | None:
        while origin in self._idle:
            wire = self._taken(origin, -1)
            if wire.is_open:
                return wire
            wire.close()
        return None

    def _taken(self, origin: _Origin, place: int) -> Wire:
        """An idle socket: the one used last (-1), or the one used longest ago (0)."""
        wires = self._idle[origin]
        wire = wires.pop() if place else wires.popleft()
        self._idle_count -= 1
        if not wires:
            del self._idle[origin]
        return wire

    async def _connected(self, origin: _Origin) -> Wire:
        if self._idle_count + self._used_count > SOCKETS_MAX:
            self._taken(next(iter(self._idle)), 0).close()
        tls = self._tls if origin.is_tls else None
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                _, wire = await asyncio.get_running_loop().create_connection(Wire, origin.host, origin.port, ssl=tls)
        except OSError as error:  # a TimeoutError, or one of TLS, is one, too
            raise Broke(f"Cannot connect to {origin.name}: {str(error) or 'it takes too long'}") from None
        return wire

    def _close_old(self) -> None:
        """Those that nobody has needed for a while; the one that was used last stands last."""
        loop = asyncio.get_running_loop()
        before = loop.time() - IDLE_SOCKET_SECONDS
        for origin, wires in list(self._idle.items()):
            while wires and wires[0].idle_since <= before:
                self._taken(origin, 0).close()
        self._sweep = loop.call_later(IDLE_SOCKET_SECONDS, self._close_old) if self._idle else None


def _taken_apart(what: str, url: str) -> tuple[_Origin, str]:
    """Where the socket leads to, and what is asked for there."""
    found = _ADDRESS.fullmatch(url)
    origin = _origin(found[1], found[2], found[3] or "") if found else None
    if found is None or origin is None:
        raise Rejected(
            f"{what} cannot be sent: the address is not of the form http(s)://HOST[:PORT]/PATH; put it right "
            "in the connections file"
        )
    target = found[4]
    return origin, target if target.startswith("/") else f"/{target}"


@lru_cache(maxsize=ORIGINS_REMEMBERED_MAX)
def _origin(scheme: str, host: str, digits: str) -> _Origin | None:
    """None if no socket can lead there."""
    port = int(digits or _DEFAULT_PORT[scheme])
    is_bracketed = host.startswith("[")
    bare = host.strip("[]").lower()
    is_host = _is_ipv6(bare) if is_bracketed else _HOST_NAME.fullmatch(bare) is not None
    if not is_host or not 0 < port < 65_536:
        return None
    name = f"[{bare}]" if is_bracketed else bare
    return _Origin(bare, port, scheme == "https", name if port == _DEFAULT_PORT[scheme] else f"{name}:{port}")


def _is_ipv6(host: str) -> bool:
    try:
        socket.inet_pton(socket.AF_INET6, host)
    except OSError:
        return False
    return True


def _named(error: Exception) -> str:
    return (str(error) or type(error).__name__)[:ERROR_CHARS_MAX]
