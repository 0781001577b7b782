"""A transport that answers from memory, in httpx's words: what it is asked is an httpx.Request."""

from collections.abc import Callable, Mapping

import httpx

from service.api.reply import Reply
from topics.errors import Retryable


class MemoryTransport:
    """Answers with what `handler` makes of a request; an httpx error that it raises is a fault on the way."""

    def __init__(self, handler: Callable[[httpx.Request], httpx.Response]) -> None:
        self._handler = handler

    async def exchange(
        self, what: str, method: str, url: str, headers: Mapping[str, str], form: Mapping[str, str] | None = None
    ) -> Reply:
        request = httpx.Request(method, url, headers=headers, data=form)
        try:
            response = self._handler(request)
            return Reply(response.status_code, response.headers, await response.aread())
        except (httpx.TransportError, httpx.DecodingError, OSError) as error:
            raise Retryable(f"{what} had no whole answer ({type(error).__name__}: {error})") from None

    async def close(self) -> None: ...
