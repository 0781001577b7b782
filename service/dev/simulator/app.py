"""ASGI application of the simulator: credentials, rate limit, faults, documents and counters of each request."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zlib import crc32

from service.clock import Clock, SystemClock
from service.dev.simulator import responses
from service.dev.simulator.admin import PREFIX, Admin
from service.dev.simulator.auth import Credentials
from service.dev.simulator.config import SimulatorConfig
from service.dev.simulator.counters import Counters
from service.dev.simulator.faults import HANG_SECONDS_MAX, Faults, FaultSpec
from service.dev.simulator.limits import Limiter
from service.dev.simulator.moves import Moves
from service.dev.simulator.pages import Page, PageCache
from service.dev.simulator.query import Query
from service.dev.simulator.render import Writer
from service.dev.simulator.responses import Header, Response
from service.dev.simulator.routes import Found, Listing, Root, Single, resolve
from service.dev.simulator.store import Organisation

TOKEN_PATH = "/oauth/token"
BODY_BYTES_MAX = 1_000_000  # of a request; the response to a longer one is 413
VERSION_HEADER = b"x-pco-api-version"
OLDEST_VERSION = b"2018-08-01"
PROCESSED_AS = {
    "people": b"2025-11-10",
    "groups": b"2023-07-10",
    "giving": b"2019-10-18",
    "check-ins": b"2025-05-28",
    "check_ins": b"2025-05-28",
    "services": b"2018-11-01",
    "calendar": b"2022-07-07",
}
_OFFSET = re.compile(rb"(?:^|&)offset=(\d{1,11})(?:&|$)")

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Request:
    """A GET of the API by an organisation. `root` is the API's address as the client sees it."""

    org: Organisation
    path: str
    query: bytes
    root: str


class Simulator:
    """Planning Center for the organisations of one process. Everything runs in one event loop; nothing is shared."""

    def __init__(self, config: SimulatorConfig, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._orgs = {name: Organisation(name, config.seed, config.people) for name in config.orgs}
        self._credentials = Credentials(config.orgs, clock, config.token_seconds, config.seed)
        self._limiter = Limiter(config)
        self._faults = Faults(config.seed)
        self._counters = Counters(config.journal)
        self._cache = PageCache()
        self._moves = Moves(clock, self._cache)
        self._admin = Admin(self._orgs, self._counters, self._faults, self._cache, self._moves, clock)
        self._requests = 0

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        path = scope["path"]
        if path.startswith(PREFIX) or path == TOKEN_PATH:
            await self._administer(scope, receive, send)
        else:
            await self._api(scope, receive, send)

    def close(self) -> None:
        self._counters.close()

    async def _administer(self, scope: Message, receive: Receive, send: Send) -> None:
        """Tokens and administration: neither limited nor counted."""
        body = await _body(receive)
        if body is None:
            await _send(send, responses.json(413, {"error": f"a request has at most {BODY_BYTES_MAX} bytes"}))
        elif scope["path"] == TOKEN_PATH:
            content_type = _header(scope, b"content-type").decode("latin-1")
            await _send(send, self._credentials.token(scope["method"], content_type, body))
        else:
            query = scope["query_string"].decode("latin-1")
            await _send(send, self._admin.respond(scope["method"], scope["path"], query, body))

    async def _api(self, scope: Message, receive: Receive, send: Send) -> None:
        requested_at = self._clock.now()
        name = self._credentials.identify(_header(scope, b"authorization"))
        if isinstance(name, Response):
            await _send(send, name, self._request_id())
            return
        query = scope["query_string"]
        rate_headers, refusal = self._limiter.take(name, self._clock.monotonic(), _offset(query))
        headers = (*rate_headers, *self._request_id(), *_version(scope["path"]))
        refusal = refusal or _unacceptable(scope)
        if refusal is not None:
            self._counters.answered(name, "", str(refusal.status))
            await _send(send, refusal, headers)
            return
        if self._config.latency_ms:
            await asyncio.sleep(self._config.latency_ms / 1_000)
        host = _header(scope, b"host").decode("latin-1")
        root = f"{scope.get('scheme', 'http')}://{host}"
        await self._get(Request(self._orgs[name], scope["path"], query, root), requested_at, headers, receive, send)

    async def _get(
        self, request: Request, requested_at: datetime, headers: tuple[Header, ...], receive: Receive, send: Send
    ) -> None:
        org = request.org.name
        self._moves.catch_up(org)
        is_faulty = bool(self._faults.in_force(self._clock.monotonic()))
        key = (org, request.path, request.query, request.root.encode())
        page = None if is_faulty else self._cache.find(key)
        found = None if page else resolve(request.org, request.path)
        entity = page.entity if page else _entity_of(found)
        fault = self._faults.failure_for(org, entity, _offset(request.query)) if is_faulty else None
        if fault is not None and fault.kind == "no_permission":
            found = _without_permission(found)
        if page is None:
            response = self._page(request, found)
            if isinstance(response, Response):
                self._counters.answered(org, entity, str(response.status))
                await _send(send, response, headers)
                return
            page = response
            if not is_faulty:
                self._cache.add(key, page)
        if fault is None or fault.kind in ("slow", "no_permission"):
            await self._serve(org, page, requested_at, fault, headers, send)
        else:
            self._counters.answered(org, entity, f"fault:{fault.kind}")
            await _send_fault(fault, page, headers, receive, send)

    async def _serve(
        self,
        org: str,
        page: Page,
        requested_at: datetime,
        fault: FaultSpec | None,
        headers: tuple[Header, ...],
        send: Send,
    ) -> None:
        """The page is counted as soon as it is sent, so that a later request for the counters includes it."""
        if fault is not None and fault.kind == "slow":
            await asyncio.sleep(fault.delay_ms / 1_000)
        await _send(send, Response(200, page.body, headers=((b"etag", page.etag),)), headers)
        self._counters.answered(org, page.entity, "200")
        if page.name:
            self._counters.served(org, page.entity, page.name, requested_at)

    def _page(self, request: Request, found: Found) -> Page | Response:
        if found is None:
            return responses.NOT_FOUND
        try:
            query = Query.parse(request.query.decode("latin-1"))
        except ValueError:
            return responses.TOO_MANY_PARAMETERS
        writer = Writer(request.org, request.root, query, self._config.included_when_empty)
        name = ""
        if isinstance(found, Listing):
            changes = self._faults.changes_for(request.org.name, found.entity.name, query.offset)
            body = writer.listing(found, request.path, changes)
            text = query.text()
            name = f"{request.path}?{text}" if text else request.path
        else:
            body = writer.single(found) if isinstance(found, Single) else writer.root_document(found)
        return Page(_entity_of(found), name, body, b'W/"%08x"' % crc32(body))

    def _request_id(self) -> tuple[Header, ...]:
        """X-Request-Id: the number of the request, in the form of an id."""
        self._requests += 1
        return ((b"x-request-id", b"%032x" % self._requests),)


def build_app(config: SimulatorConfig, clock: Clock | None = None) -> Simulator:
    return Simulator(config, clock or SystemClock())


async def _send_fault(fault: FaultSpec, page: Page, headers: tuple[Header, ...], receive: Receive, send: Send) -> None:
    if fault.kind == "hang":
        await _hang(receive)
    elif fault.kind == "half_body":
        await _start(send, Response(200, page.body), headers)
        await send({"type": "http.response.body", "body": page.body[: len(page.body) // 2], "more_body": True})
    elif fault.kind == "rate_limit":
        await _send(send, responses.too_many(101, 100, 20, fault.retry_after), headers)
    elif fault.kind == "html":
        await _send(send, responses.html(fault.status, "Service Unavailable"), headers)
    else:
        await _send(send, responses.error(fault.status, "Internal Server Error", "Something went wrong"), headers)


async def _hang(receive: Receive) -> None:
    """No response, until the client disconnects."""
    try:
        async with asyncio.timeout(HANG_SECONDS_MAX):
            while (await receive())["type"] != "http.disconnect":
                pass
    except TimeoutError:
        return


async def _send(send: Send, response: Response, headers: Iterable[Header] = ()) -> None:
    await _start(send, response, headers)
    await send({"type": "http.response.body", "body": response.body})


async def _start(send: Send, response: Response, headers: Iterable[Header]) -> None:
    all_headers = [
        (b"content-type", response.content_type),
        (b"content-length", b"%d" % len(response.body)),
        *headers,
        *response.headers,
    ]
    await send({"type": "http.response.start", "status": response.status, "headers": all_headers})


async def _body(receive: Receive) -> bytes | None:
    """The request's body; None if it is too long."""
    parts: list[bytes] = []
    size, is_more = 0, True
    while is_more and size <= BODY_BYTES_MAX:
        message = await receive()
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        is_more = message.get("more_body", False)
    return b"".join(parts) if size <= BODY_BYTES_MAX else None


def _header(scope: Message, name: bytes) -> bytes:
    for known, value in scope["headers"]:
        if known == name:
            return bytes(value)
    return b""


def _offset(query: bytes) -> int:
    match = _OFFSET.search(query)
    return int(match[1]) if match else 0


def _unacceptable(scope: Message) -> Response | None:
    if scope["method"] != "GET":
        return responses.READ_ONLY
    version = _header(scope, VERSION_HEADER)
    return responses.UNKNOWN_VERSION if version[:1].isdigit() and version < OLDEST_VERSION else None


def _version(path: str) -> tuple[Header, ...]:
    product = path[1:].partition("/")[0]
    return ((b"x-pco-api-processed-as-version", PROCESSED_AS[product]),) if product in PROCESSED_AS else ()


def _entity_of(found: Found) -> str:
    return "" if found is None or isinstance(found, Root) else found.entity.name


def _without_permission(found: Found) -> Found:
    if isinstance(found, Listing):
        return Listing(found.entity, (), f"{found.scope}/without permission", found.owner)
    return None if isinstance(found, Single) else found
