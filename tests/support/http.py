"""A transport that answers from memory, in httpx's words: what it is asked is an httpx.Request."""

from collections.abc import Callable

import httpx

from service.api.exchange import Request, Response
from service.api.failures import failure


class MemoryTransport:
    """Answers with what `handler` makes of a request; an httpx error that it raises is a fault on the way."""

    def __init__(self, handler: Callable[[httpx.Request], httpx.Response]) -> None:
        self._handler = handler

    async def exchange(self, request: Request) -> Response:
        sent = httpx.Request(request.method, request.url, headers=request.headers, data=request.form)
        if request.authorization is not None:
            sent.headers["authorization"] = request.authorization
        try:
            response = self._handler(sent)
            return Response(response.status_code, response.headers, await response.aread())
        except (httpx.TransportError, httpx.DecodingError) as error:
            raise failure(request, error) from None

    async def close(self) -> None: ...
