"""One HTTP exchange, in httpx's terms, on aiohttp's engine.

A prepared httpx.Request goes straight to the transport. Measured with 32 connections on loopback (aiohttp 3.14,
httpx 0.28): 0.15 ms of CPU a request, against 0.28 through httpx.AsyncClient on the same transport and 1.33 on
httpx's own.
"""

import asyncio
from dataclasses import dataclass

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from topics.errors import Rejected, Retryable

CONNECT_SECONDS = 10.0
READ_SECONDS = 30.0  # between two pieces of an answer
TOTAL_SECONDS = 120.0  # for an exchange, from the first byte sent to the last received
BODY_BYTES_MAX = 32 * 1024 * 1024  # of a body, unpacked; a longer one is Rejected
SOCKETS_MAX = 512  # of a process, over all connections; requests beyond wait for one
IDLE_SOCKET_SECONDS = 30.0
ERROR_CHARS_MAX = 300

_TIMEOUT = {"timeout": {"connect": CONNECT_SECONDS, "read": READ_SECONDS}}


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: httpx.Headers
    body: bytes


def open_transport() -> httpx.AsyncBaseTransport:
    """A pool of connections for all logins: it keeps no cookies, so nothing of one reaches another."""
    context = httpx.create_ssl_context()

    def session() -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(limit=SOCKETS_MAX, ssl=context, keepalive_timeout=IDLE_SOCKET_SECONDS)
        return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())

    return AiohttpTransport(verify=context, client=session)


async def exchange(
    transport: httpx.AsyncBaseTransport,
    what: str,
    method: str,
    url: str,
    headers: dict[str, str],
    form: dict[str, str] | None = None,
) -> Reply:
    """Send, and read the whole answer, whatever its status. `what` names the request in errors, without secrets.

    Retryable for everything that can go wrong on the way; Rejected for a body over BODY_BYTES_MAX.
    """
    request = httpx.Request(method, url, headers=headers, data=form, extensions=_TIMEOUT)
    try:
        async with asyncio.timeout(TOTAL_SECONDS):
            response = await transport.handle_async_request(request)
            try:
                return Reply(response.status_code, response.headers, await _body(response, what))
            finally:
                await response.aclose()
    except (TimeoutError, httpx.TransportError, httpx.DecodingError, aiohttp.ClientError, OSError) as error:
        # aiohttp's own come through where the transport has no httpx error for them: an answer that is not HTTP
        raise Retryable(f"{what} had no whole answer ({_named(error)})") from None


async def _body(response: httpx.Response, what: str) -> bytes:
    pieces: list[bytes] = []
    size = 0
    async for piece in response.aiter_bytes():
        size += len(piece)
        if size > BODY_BYTES_MAX:
            raise Rejected(f"{what} had an answer of more than {BODY_BYTES_MAX} bytes; make the pages smaller")
        pieces.append(piece)
    return b"".join(pieces)


def _named(error: Exception) -> str:
    """The engine's own name for what went wrong; httpx-aiohttp calls a refused connection a time-out."""
    cause = error.__cause__ if isinstance(error.__cause__, aiohttp.ClientError) else error
    if isinstance(cause, aiohttp.ClientResponseError | aiohttp.InvalidURL):
        return type(cause).__name__  # their texts show the query
    return f"{type(cause).__name__}: {cause}"[:ERROR_CHARS_MAX] if str(cause) else type(cause).__name__
