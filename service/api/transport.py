"""One HTTP exchange: a request sent, its answer read to the end."""

import asyncio
from collections.abc import Mapping
from typing import Protocol

from pyreqwest.http import HeaderMap
from pyreqwest.request import StreamRequest

from service.api.body import Body, Unreadable
from service.api.failures import FAILURES, failure
from service.api.http import HttpOptions, page_client, token_client
from service.api.response import Response
from topics.errors import Rejected

PIECE_BYTES = 65_536  # of a body, read at once
SETTLE_SECONDS = 0.02  # until the libraries' threads have left Python


class Transport(Protocol):
    async def exchange(
        self,
        what: str,
        method: str,
        url: str,
        headers: Mapping[str, str],
        authorization: str | None = None,
        form: Mapping[str, str] | None = None,
    ) -> Response:
        """Send, and read the whole answer. `what` names the request in errors, without secrets.

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

    async def exchange(
        self,
        what: str,
        method: str,
        url: str,
        headers: Mapping[str, str],
        authorization: str | None = None,
        form: Mapping[str, str] | None = None,
    ) -> Response:
        try:
            if form is not None:
                return await self._posted(url, headers, form)
            return await _read(self._request(what, method, url, headers, authorization))
        except FAILURES as error:
            raise failure(what, url, error) from None

    async def close(self) -> None:
        """An interpreter that ends while a thread of pyreqwest is within Python aborts (PyGILState_Release)."""
        await self._pages.close()
        await self._tokens.aclose()
        await asyncio.sleep(SETTLE_SECONDS)

    def _request(
        self, what: str, method: str, url: str, headers: Mapping[str, str], authorization: str | None
    ) -> StreamRequest:
        try:
            request = self._pages.request(method, url)
        except ValueError:
            raise Rejected(f"{what} cannot be sent: its address is not valid; put right base_url") from None
        try:
            request = request.headers(headers)
            if authorization is not None:
                request = request.header("authorization", authorization, is_sensitive=True)
        except ValueError:  # its text has the value
            raise Rejected(f"{what} cannot be sent: a header holds a line break or another control character") from None
        return request.build_streamed()

    async def _posted(self, url: str, headers: Mapping[str, str], form: Mapping[str, str]) -> Response:
        try:
            async with self._tokens.stream("POST", url, headers=headers, data=form) as answer:
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
