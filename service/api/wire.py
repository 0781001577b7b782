"""HTTP/1.1 on one socket: one request at a time, and the socket is kept for the next one.

llhttp (in httptools) takes answers apart; sockets and TLS are the event loop's.
"""

import asyncio
import re
from collections.abc import Mapping
from typing import cast
from urllib.parse import urlencode

import httptools

from service.api.reply import BODY_BYTES_MAX, Body, Headers, Reply, TooLong, Unreadable
from topics.errors import Rejected

READ_SECONDS = 30.0  # between two pieces of an answer
TOTAL_SECONDS = 120.0  # for an exchange, from the first byte sent to the last received
HEADER_BYTES_MAX = 65_536  # that may come without the headers' end in sight, notices included
ANSWER_BYTES_MAX = 2 * BODY_BYTES_MAX  # of an answer as it travels, with all that frames its body
_FINAL = 200  # what comes before is a notice that the answer is still to come
_UNSAFE = re.compile(r"[\r\n\0]")


class Broke(Exception):
    """No whole answer came. `is_untouched`: not one byte of it."""

    def __init__(self, why: str, is_untouched: bool = False) -> None:
        super().__init__(why)
        self.is_untouched = is_untouched


class Wire(asyncio.Protocol):
    """A socket to one origin. `await ask(...)`, and again while `is_open`."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpResponseParser(self)
        self._answer: asyncio.Future[Reply] | None = None
        self._headers = Headers()
        self._body: Body | None = None  # from the end of its headers on
        self._has_length = False
        self._received = 0  # bytes, since the request
        self._timer: asyncio.TimerHandle | None = None
        self._ends_at = 0.0
        self._heard_at = 0.0
        self.idle_since = 0.0
        self.is_open = False

    async def ask(self, request: bytes) -> Reply:
        """Send, and read the whole answer. Broke, TooLong, Unreadable; the socket is closed then."""
        if not self.is_open:  # lost, or spoken on by the server, before anybody asked
            self.close()
            raise Broke("the connection was lost", is_untouched=True)
        self._answer = self._loop.create_future()
        self._received = 0
        self._heard_at = self._loop.time()
        self._ends_at = self._heard_at + TOTAL_SECONDS
        if self._timer is None:
            self._timer = self._loop.call_later(min(READ_SECONDS, TOTAL_SECONDS), self._look)
        try:
            self._transport.write(request)
            return await self._answer
        except BaseException:  # a cancellation may come after the answer: nobody else would close the socket
            self.close()
            raise
        finally:
            self._answer = None
            self.idle_since = self._loop.time()

    def close(self) -> None:
        self.is_open = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._transport.abort()

    def _look(self) -> None:
        """Whether the exchange under way has taken too long; there is one timer for all of a socket's exchanges."""
        self._timer = None
        if self._answer is None:
            return
        ends_at, now = min(self._heard_at + READ_SECONDS, self._ends_at), self._loop.time()
        if now >= ends_at:
            self._fail(Broke("Timeout: the answer took too long"))
        else:
            self._timer = self._loop.call_later(ends_at - now, self._look)

    def _fail(self, error: Exception) -> None:
        self.is_open = False
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        if self._answer is None or self._answer.done():
            self.close()  # nobody has asked for anything
            return
        self._received += len(data)
        self._heard_at = self._loop.time()
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._fail(Broke("the server wants another protocol"))
        except httptools.HttpParserError as error:
            # What a callback of ours raised is the context of the parser's own error.
            self._fail(error.__context__ if isinstance(error.__context__, Exception) else Broke(f"not HTTP: {error}"))
        if self._received > HEADER_BYTES_MAX and not self._answer.done():
            self._bound()

    def connection_lost(self, error: Exception | None) -> None:
        self.is_open = False
        if self._body is not None and not self._has_length and error is None:
            try:
                self._complete(self._body)  # its end is the connection's end
            except Unreadable as unreadable:
                self._fail(unreadable)
        self._fail(Broke(f"the connection was lost{f': {error}' if error else ''}", self._received == 0))

    def _bound(self) -> None:
        if self._body is None:
            self._fail(Broke(f"headers of more than {HEADER_BYTES_MAX} bytes"))
        elif self._received > ANSWER_BYTES_MAX:
            self._fail(TooLong(f"an answer of more than {ANSWER_BYTES_MAX} bytes with its framing"))

    # httptools' callbacks

    def on_message_begin(self) -> None:
        if self._answer is None or self._answer.done():
            raise Broke("more than was asked for")  # half of it would be taken for the next request's answer
        self._headers = Headers()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._body is None:  # those behind a body say nothing that we need
            self._headers.setdefault(name.decode("latin-1").lower(), value.decode("latin-1"))

    def on_headers_complete(self) -> None:
        if self._parser.get_status_code() >= _FINAL:
            self._has_length = "content-length" in self._headers or "transfer-encoding" in self._headers
            self._body = Body(self._headers.get("content-encoding"))

    def on_body(self, piece: bytes) -> None:
        if self._body is not None:
            self._body.add(piece)

    def on_message_complete(self) -> None:
        if self._body is not None:
            self.is_open = self.is_open and self._parser.should_keep_alive()
            self._complete(self._body)

    def _complete(self, body: Body) -> None:
        self._body = None  # an idle socket does not hold its last page
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(Reply(self._parser.get_status_code(), self._headers, body.whole()))


def packed(
    what: str,
    method: str,
    host: str,
    target: str,
    headers: Mapping[str, str],
    form: Mapping[str, str] | None,
) -> bytes:
    """The request as it travels. `what` names it in errors. Rejected for what would not be one request."""
    lines = [f"{method} {target} HTTP/1.1", f"host: {host}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    body = b""
    try:
        if form is not None:
            body = urlencode(form).encode()
            lines += ["content-type: application/x-www-form-urlencoded", f"content-length: {len(body)}"]
        if any(map(_UNSAFE.search, lines)):
            raise Rejected(f"{what} cannot be sent: a header holds a line break")
        return "\r\n".join((*lines, "", "")).encode("latin-1") + body
    except UnicodeError:
        raise Rejected(
            f"{what} cannot be sent: a header holds characters beyond Latin-1, or a secret is not in UTF-8"
        ) from None
