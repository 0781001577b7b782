"""ASGI application of the simulator: credentials, rate limit, faults, documents and counters of each request."""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import formatdate
from functools import lru_cache
from zlib import crc32

from service.clock import Clock, SystemClock
from service.dev.simulator import responses
from service.dev.simulator.admin import PREFIX, Admin
from service.dev.simulator.auth import Credentials
from service.dev.simulator.clients import METHODS, Written, write
from service.dev.simulator.config import SimulatorConfig
from service.dev.simulator.counters import Counters
from service.dev.simulator.failing import SERVES, place_of, send_failure, without_permission
from service.dev.simulator.faults import Faults, FaultSpec
from service.dev.simulator.limits import Limiter
from service.dev.simulator.moves import Moves
from service.dev.simulator.pages import Page, PageCache
from service.dev.simulator.query import Query
from service.dev.simulator.rates import LifeSpec
from service.dev.simulator.render import Writer
from service.dev.simulator.responses import Header, Response
from service.dev.simulator.routes import Found, Listing, Root, Single, resolve
from service.dev.simulator.store import Organisation
from service.dev.simulator.versions import processed_as
from service.dev.simulator.wire import (
    BODY_BYTES_MAX,
    Message,
    Receive,
    Send,
    header,
    offset_of,
    read_body,
    send_response,
)

TOKEN_PATH = "/oauth/token"
VERSION_HEADER = b"x-pco-api-version"


@dataclass(frozen=True, slots=True)
class Request:
    """A request of the API by an organisation. `root` is the API's address as the client sees it."""

    org: Organisation
    path: str
    query: bytes
    root: str
    authorization: bytes


class Simulator:
    """Planning Center for the organisations of one process. Everything runs in one event loop; nothing is shared."""

    def __init__(self, config: SimulatorConfig, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._orgs = {name: Organisation(name, config.seed, config.people) for name in config.orgs}
        self._credentials = Credentials(config.orgs, clock, config.token_seconds, config.seed, config.scopes)
        self._limiter = Limiter(config)
        self._faults = Faults(config.seed)
        self._counters = Counters(config.journal)
        self._cache = PageCache()
        self._moves = Moves(clock, self._cache)
        self._admin = Admin(self._orgs, self._counters, self._faults, self._cache, self._moves, clock)
        self._requests = 0
        self._begin()

    def _begin(self) -> None:
        """What happens by itself, and what is wrong, from the start on."""
        for org in self._orgs.values():
            org.clock_error = timedelta(seconds=self._config.clock_error_seconds)
        for fault in self._config.faults:
            self._admin.add_fault(fault)
        life = self._config.life
        for org in self._orgs.values() if any(life.by_kind.values()) else ():
            self._moves.begin(LifeSpec(org=org.name, seed=self._config.seed, **dict(life)), org)

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
        body = await read_body(receive)
        if body is None:
            await send_response(send, responses.json(413, {"error": f"a request has at most {BODY_BYTES_MAX} bytes"}))
        elif scope["path"] == TOKEN_PATH:
            content_type = header(scope, b"content-type").decode("latin-1")
            await send_response(send, self._credentials.token(scope["method"], content_type, body))
        else:
            query = scope["query_string"].decode("latin-1")
            await send_response(send, self._admin.respond(scope["method"], scope["path"], query, body))

    async def _api(self, scope: Message, receive: Receive, send: Send) -> None:
        requested_at = self._clock.now()
        if not header(scope, b"user-agent"):
            await send_response(send, responses.NO_USER_AGENT)
            return
        query, product = scope["query_string"], scope["path"][1:].partition("/")[0]
        authorization = header(scope, b"authorization")
        caller = self._credentials.identify(authorization, product)
        rate_headers, refusal = self._limiter.take(caller.org, self._clock.monotonic(), offset_of(query))
        headers = (*rate_headers, *self._request_id(), self._date(caller.org))
        if caller.refusal is not None:
            await send_response(send, caller.refusal, headers)
            return
        name, version = caller.org, processed_as(product, header(scope, VERSION_HEADER))
        refusal = refusal or (responses.UNKNOWN_VERSION if version is None else None)
        if refusal is not None:
            self._counters.answered(name, "", str(refusal.status))
            await send_response(send, refusal, headers)
            return
        if self._config.latency_ms:
            await asyncio.sleep(self._config.latency_ms / 1_000)
        headers = (*headers[:-1], self._date(name), *_version(version))
        host = header(scope, b"host").decode("latin-1")
        root = f"{scope.get('scheme', 'http')}://{host}"
        request = Request(self._orgs[name], scope["path"], query, root, authorization)
        if scope["method"] in METHODS:
            await self._write(request, scope["method"], headers, receive, send)
        else:
            await self._get(request, requested_at, headers, receive, send)

    async def _write(
        self, request: Request, method: str, headers: tuple[Header, ...], receive: Receive, send: Send
    ) -> None:
        """The cache forgets before the write: nothing is served until it is done."""
        org, body = request.org, await read_body(receive)
        self._moves.catch_up(org.name)
        self._cache.forget(org.name)
        found = resolve(org, request.path)
        answer = responses.BAD_PAYLOAD if body is None else write(org, found, method, body, self._clock.now())
        if isinstance(answer, Written):
            answer = self._document(request, answer)
        self._counters.answered(org.name, _entity_of(found), str(answer.status))
        await send_response(send, answer, headers)

    def _document(self, request: Request, written: Written) -> Response:
        writer = Writer(request.org, request.root, Query.parse(""), self._config.included_when_empty)
        return Response(written.status, writer.single(written.single))

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
        fault = None
        if is_faulty:
            fault = self._faults.failure_for(org, entity, offset_of(request.query), place_of(found))
        if fault is not None and fault.kind == "no_permission":
            found = without_permission(found)
        if page is None:
            response = self._page(request, found)
            if isinstance(response, Response):
                self._counters.answered(org, entity, str(response.status))
                await send_response(send, response, headers)
                return
            page = response
            if not is_faulty:
                self._cache.add(key, page)
        if fault is None or fault.kind in SERVES:
            await self._serve(org, page, requested_at, fault, headers, send)
        else:
            self._counters.answered(org, entity, f"fault:{fault.kind}")
            await send_failure(fault, page.body, request.authorization, headers, receive, send)

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
        await send_response(send, Response(200, page.body, headers=((b"etag", page.etag),)), headers)
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
        elif isinstance(found, Single):
            body = writer.single(found)
            name = request.path if found.entity.is_single else ""
        else:
            body = writer.root_document(found)
        return Page(_entity_of(found), name, body, b'W/"%08x"' % crc32(body))

    def _date(self, org: str) -> Header:
        """Date, by the API's clock; for nobody's organisation by the machine's."""
        error = self._orgs[org].clock_error if org in self._orgs else timedelta(0)
        return b"date", _http_date(int((self._clock.now() + error).timestamp()))

    def _request_id(self) -> tuple[Header, ...]:
        """X-Request-Id: the number of the request, in the form of an id."""
        self._requests += 1
        return ((b"x-request-id", b"%032x" % self._requests),)


def build_app(config: SimulatorConfig, clock: Clock | None = None) -> Simulator:
    return Simulator(config, clock or SystemClock())


@lru_cache(maxsize=8)
def _http_date(seconds: int) -> bytes:
    return formatdate(seconds, usegmt=True).encode()


def _version(version: bytes | None) -> tuple[Header, ...]:
    return ((b"x-pco-api-processed-as-version", version),) if version else ()


def _entity_of(found: Found) -> str:
    return "" if found is None or isinstance(found, Root) else found.entity.name
