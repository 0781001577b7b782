"""A transport that answers from memory, in httpx's words: what it is asked is an httpx.Request."""

from collections.abc import Callable, Mapping

import httpx

from service.api.failures import failure
from service.api.response import Response


class MemoryTransport:
    """Answers with what `handler` makes of a request; an httpx error that it raises is a fault on the way."""

    def __init__(self, handler: Callable[[httpx.Request], httpx.Response]) -> None:
        self._handler = handler

    async def exchange(
        self,
        what: str,
        method: str,
        url: str,
        headers: Mapping[str, str],
        authorization: str | None = None,
        form: Mapping[str, str] | None = None,
    ) -> Response:
        request = httpx.Request(method, url, headers=headers, data=form)
        if authorization is not None:
            request.headers["authorization"] = authorization
        try:
            response = self._handler(request)
            return Response(response.status_code, response.headers, await response.aread())
        except (httpx.TransportError, httpx.DecodingError) as error:
            raise failure(what, url, error) from None

    async def close(self) -> None: ...
