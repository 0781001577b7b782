"""Requests and responses as ASGI messages."""

import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from service.dev.simulator.responses import Header, Response

BODY_BYTES_MAX = 1_000_000  # of a request; the response to a longer one is 413
_OFFSET = re.compile(rb"(?:^|&)offset=(\d{1,11})(?:&|$)")

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


def header(scope: Message, name: bytes) -> bytes:
    """The value of a header, by its name in lower case; empty if there is none."""
    for known, value in scope["headers"]:
        if known == name:
            return bytes(value)
    return b""


def offset_of(query: bytes) -> int:
    match = _OFFSET.search(query)
    return int(match[1]) if match else 0


async def read_body(receive: Receive) -> bytes | None:
    """The request's body; None if it is too long."""
    parts: list[bytes] = []
    size, is_more = 0, True
    while is_more and size <= BODY_BYTES_MAX:
        message = await receive()
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        is_more = message.get("more_body", False)
    return b"".join(parts) if size <= BODY_BYTES_MAX else None


async def send_response(send: Send, response: Response, headers: Iterable[Header] = ()) -> None:
    await send_start(send, response, headers)
    await send({"type": "http.response.body", "body": response.body})


async def send_start(send: Send, response: Response, headers: Iterable[Header]) -> None:
    """Everything in front of the body."""
    all_headers = [
        (b"content-type", response.content_type),
        (b"content-length", b"%d" % len(response.body)),
        *headers,
        *response.headers,
    ]
    await send({"type": "http.response.start", "status": response.status, "headers": all_headers})
