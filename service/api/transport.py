"""One HTTP exchange: a request sent, its answer read to the end."""

import asyncio
from typing import Protocol

from pyreqwest.http import HeaderMap
from pyreqwest.request import StreamRequest

from service.api.body import Body, Unreadable
from service.api.exchange import Request, Response
from service.api.failures import FAILURES, failure
from service.api.http import HttpOptions, page_client, token_client
from topics.errors import Rejected

PIECE_BYTES = 65_536  # of a body, read at once
SETTLE_SECONDS = 0.02  # until the libraries' threads have left Python


class Transport(Protocol):
    async def exchange(self, request: Request) -> Response:
        """Send, and read the whole answer.

        Retryable for everything that can go wrong on the way. Rejected for what cannot be sent, for a server whose
        certificate does not verify, and for an answer over a bound (body.BODY_BYTES_MAX, http.HTTP1_HEADER_BYTES_MAX).
        """
        ...

    async def close(self) -> None: ...


class HttpTransport:
    """Connections for all logins: they know nothing of each other's, since every request says who it is."""

    def __init__(self, options: HttpOptions) -> None:
        self._pages = page_client(options)
        self._tokens = token_client(options)

    async def exchange(self, request: Request) -> Response:
        try:
            if request.form is not None:
                return await self._posted(request)
            return await _read(self._built(request))
        except FAILURES as error:
            raise failure(request, error) from None

    async def close(self) -> None:
        """An interpreter that ends while a thread of pyreqwest is within Python aborts (PyGILState_Release)."""
        await self._pages.close()
        await self._tokens.aclose()
        await asyncio.sleep(SETTLE_SECONDS)

    def _built(self, request: Request) -> StreamRequest:
        try:
            built = self._pages.request(request.method, request.url)
        except ValueError:
            raise Rejected(f"{request.name} cannot be sent: its address is not valid; put right base_url") from None
        try:
            built = built.headers(request.headers)
            if request.authorization is not None:
                built = built.header("authorization", request.authorization, is_sensitive=True)
        except ValueError:  # its text has the value
            reason = "a header holds a line break or another control character"
            raise Rejected(f"{request.name} cannot be sent: {reason}") from None
        return built.build_streamed()

    async def _posted(self, request: Request) -> Response:
        try:
            sent = self._tokens.stream(request.method, request.url, headers=request.headers, data=request.form)
            async with sent as answer:
                body = Body(answer.headers.get("content-encoding", ""))
                async for piece in answer.aiter_raw():
                    body.add(piece)
                return Response(answer.status_code, answer.headers, body.whole())
        except ValueError:  # of pyreqwest 0.15's HttpxTransport
            raise Unreadable("a header is not ASCII text") from None


class _TextHeaders:
    """Headers as the server sent them; one that is not ASCII text counts as missing."""

    def __init__(self, headers: HeaderMap) -> None:
        self._headers = headers

    def get(self, name: str, default: str, /) -> str:
        try:
            return self._headers.get(name, default)
        except ValueError:
            return default


async def _read(request: StreamRequest) -> Response:
    async with request as answer:
        headers = _TextHeaders(answer.headers)
        body = Body(headers.get("content-encoding", ""))
        while (piece := await answer.body_reader.read(PIECE_BYTES)) is not None:
            body.add(piece.to_bytes())
        return Response(answer.status, headers, body.whole())
