"""Transports and their time: one that answers from memory, in httpx's words, and how tests ask a real one."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from service.api.exchange import Request, Response
from service.api.failures import failure
from service.api.transport import Transport

Ask = Callable[[Transport, str], Awaitable[Response]]


class MemoryTransport:
    """Answers with what `handler` makes of a request; an httpx error that it raises is a fault on the way."""

    def __init__(self, handler: Callable[[httpx.Request], httpx.Response]) -> None:
        self._handler = handler

    async def exchange(self, request: Request) -> Response:
        sent = httpx.Request(request.method, request.url, headers=request.headers, data=request.form)
        if request.authorization is not None:
            sent.headers["authorization"] = request.authorization
        await asyncio.sleep(0)  # as on any way: others ask meanwhile
        try:
            response = self._handler(sent)
            return Response(response.status_code, response.headers, await response.aread())
        except httpx.TransportError as error:
            raise failure(request, error) from None

    async def close(self) -> None: ...


class MovedClock:
    """A clock from the midnight of 2026-01-05 on that its own `sleep` moves."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.slept: list[float] = []

    def now(self) -> datetime:
        return datetime(2026, 1, 5, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.seconds += seconds
        await asyncio.sleep(0)


async def get(transport: Transport, url: str) -> Response:
    """A page, as the client asks for it."""
    return await transport.exchange(Request("acme/pco: GET /x", "GET", url, {"accept": "text/x"}, "Basic eA=="))


async def post(transport: Transport, url: str) -> Response:
    """A token."""
    request = Request("acme/pco: POST /x", "POST", url, {"accept": "text/x"}, form={"grant_type": "a b"})
    return await transport.exchange(request)


both = pytest.mark.parametrize("ask", [get, post])
