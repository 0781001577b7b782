"""Failures: what a request that is to fail is answered."""

import asyncio
from collections.abc import Callable, Mapping

from service.dev.simulator import responses
from service.dev.simulator.faults import HANG_SECONDS_MAX, FaultSpec, Place
from service.dev.simulator.responses import Header, Response
from service.dev.simulator.routes import Found, Listing, Single
from service.dev.simulator.wire import Receive, Send, send_response, send_start

SERVES: frozenset[str] = frozenset(("slow", "no_permission"))  # kinds that are answered with a document
_ANSWERS: Mapping[str, Callable[[FaultSpec], Response]] = {
    "rate_limit": lambda fault: responses.too_many(101, 100, 20, fault.retry_after),
    "error": lambda fault: responses.error(fault.status, "Internal Server Error", "Something went wrong"),
    "html": lambda fault: responses.html(fault.status, "Service Unavailable"),
    "forbidden": lambda fault: responses.FORBIDDEN,
    "not_found": lambda fault: responses.NOT_FOUND,
}


async def send_failure(
    fault: FaultSpec, body: bytes, authorization: bytes, headers: tuple[Header, ...], receive: Receive, send: Send
) -> None:
    """`body` is what would be served."""
    if fault.kind == "hang":
        await _hang(receive)
    elif fault.kind == "half_body":
        await send_start(send, Response(200, body), headers)
        await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
    elif fault.kind == "unauthorized":
        is_bearer = authorization[:6].lower() == b"bearer"
        denied = responses.bearer_denied(responses.CAPUCHIN) if is_bearer else responses.BASIC_DENIED
        await send_response(send, denied, headers)
    else:
        await send_response(send, _ANSWERS[fault.kind](fault), headers)


def place_of(found: Found) -> Place:
    if isinstance(found, Listing):
        return "lists"
    return "records" if isinstance(found, Single) and not found.entity.is_single else "all"


def without_permission(found: Found) -> Found:
    """What a user without the permission finds there."""
    if isinstance(found, Listing):
        return Listing(found.entity, (), f"{found.scope}/without permission", found.owner)
    return None if isinstance(found, Single) else found


async def _hang(receive: Receive) -> None:
    """No response, until the client disconnects."""
    try:
        async with asyncio.timeout(HANG_SECONDS_MAX):
            while (await receive())["type"] != "http.disconnect":
                pass
    except TimeoutError:
        return
