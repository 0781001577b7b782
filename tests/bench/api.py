"""The API of the benchmark: pages rendered ahead and served from memory, so that it is never what is measured.

GET /{org}/contacts?offset=&per_page= is a pure function of its address; an organisation's name says how much it has
and how it is served (`KINDS`): `p25-x` has 25 pages of 25 records, `r10000-x` 10,000 records. Its members change, as
many as were asked for last, and can be filtered by that. It keeps a journal of its requests, by which everything else
is checked. Run: python -m tests.bench.api PORT.
"""

import asyncio
import sys
import time
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from typing import NamedTuple, cast
from urllib.parse import parse_qsl, urlsplit

import msgspec
import uvloop

from tests.bench.parts import end_with_parent

PAGE = 25
PAGES_READY_MAX = 25_000  # rendered ahead; one more is refused
REQUESTS_MAX = 1_000_000  # in the journal; one more is refused
LIMIT, PERIOD_SECONDS = 100, 20
SLOW_SECONDS = 0.05
CREATED_AT = "2025-01-01T00:00:00Z"  # of members that have not changed
_PREFIX = "X-PCO-API-Request-Rate"  # named as Planning Center names them


class Kind(NamedTuple):
    """How an organisation is served: what its number counts, how late, and whether it is limited."""

    records: int
    after_seconds: float = 0.0
    is_limited: bool = False


KINDS = {
    "p": Kind(PAGE),
    "r": Kind(1),
    "s": Kind(PAGE, SLOW_SECONDS),
    "l": Kind(PAGE, is_limited=True),
}


class Request(NamedTuple):
    """A request: when it came (Unix seconds), what for, how it was answered."""

    at: float
    org: str
    page: int
    status: int


class PageAddress(NamedTuple):
    """`since`: only what has changed since then, an ISO time."""

    org: str
    entity: str
    offset: int
    size: int
    since: str = ""


class Changed(NamedTuple):
    """So many members of an organisation, spread evenly, were changed last, at that time."""

    records: int = 0
    at: str = ""


NOTHING = Changed()


@dataclass
class Window:
    """The limit's window of one organisation: it opens with the first request after the last one has ended."""

    opened: float
    count: int = 0


class Api:
    """What is served, and what was requested."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.is_hurried = False  # nobody is answered late any more
        self._ready: dict[PageAddress, bytes] = {}
        self._windows: dict[str, Window] = {}
        self._changed: dict[str, Changed] = {}

    def answer(self, target: str) -> tuple[bytes, float]:
        """The answer to a GET, and after how many seconds it goes out."""
        path = urlsplit(target).path.strip("/")
        query = dict(parse_qsl(urlsplit(target).query))
        if path.startswith("_"):
            return self._command(path, query), 0.0
        org, entity = path.split("/")
        since = query.get("where[updated_at][gte]", "")
        address = PageAddress(org, entity, int(query.get("offset", 0)), int(query.get("per_page", PAGE)), since)
        kind, now = KINDS[org[0]], time.time()
        status, headers = self._limited(org, now) if kind.is_limited else (200, "")
        if len(self.requests) >= REQUESTS_MAX:
            return reply(500, b"the journal is full"), 0.0
        self.requests.append(Request(now, org, address.offset // address.size, status))
        changed = self._changed.get(org, NOTHING)
        body = (self._ready.get(address) or render(address, changed)) if status == 200 else b""
        return reply(status, body, headers), 0.0 if self.is_hurried else kind.after_seconds

    def _command(self, path: str, query: dict[str, str]) -> bytes:
        match path:
            case "_forget":
                self.requests.clear()
            case "_hurry":
                self.is_hurried = True
            case "_render":
                self._render(query["orgs"].split(","), query["entity"], int(query["per_page"]), query["keep"] == "1")
            case "_change":
                self._changed[query["org"]] = Changed(int(query["count"]), query["at"])
            case "_requests":
                return reply(200, msgspec.json.encode(self.requests[int(query["since"]) :]))
            case _:
                return reply(404, b"")
        return reply(200, b"{}")

    def _render(self, orgs: list[str], entity: str, size: int, keep: bool) -> None:
        if not keep:
            self._ready.clear()
        for org in orgs:
            for offset in range(0, amount(org), size):
                assert len(self._ready) < PAGES_READY_MAX, "more pages at a time than the API keeps ready"
                address = PageAddress(org, entity, offset, size)
                self._ready[address] = render(address)

    def _limited(self, org: str, now: float) -> tuple[int, str]:
        window = self._windows.get(org)
        if window is None or now >= window.opened + PERIOD_SECONDS:
            window = self._windows[org] = Window(now)
        window.count += 1
        headers = (
            f"{_PREFIX}-Limit: {LIMIT}\r\n{_PREFIX}-Count: {window.count}\r\n{_PREFIX}-Period: {PERIOD_SECONDS}\r\n"
        )
        if window.count <= LIMIT:
            return 200, headers
        return 429, f"{headers}Retry-After: {window.opened + PERIOD_SECONDS - now:.0f}\r\n"


class Server(asyncio.Protocol):
    """HTTP/1.1 with keep-alive, GET only, one request at a time per connection."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            target = self._buffer[: self._buffer.find(b"\r\n")].split(b" ")[1]
            self._buffer = self._buffer[end + 4 :]
            answer, after_seconds = self._api.answer(target.decode())
            if after_seconds:
                asyncio.get_running_loop().call_later(after_seconds, self._write, answer)
            else:
                self._write(answer)

    def _write(self, answer: bytes) -> None:
        if not self._transport.is_closing():  # the client may have been killed
            self._transport.write(answer)


def reply(status: int, body: bytes, headers: str = "") -> bytes:
    head = (
        f"HTTP/1.1 {status} -\r\nContent-Type: application/vnd.api+json\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def amount(org: str) -> int:
    """How many records an organisation has."""
    return int(org[1:].partition("-")[0]) * KINDS[org[0]].records


def render(address: PageAddress, changed: Changed = NOTHING) -> bytes:
    org, entity, offset, size, since = address
    every = amount(org)
    numbers = range(0, every, every // changed.records) if changed.records else range(0)
    numbers = numbers if since > CREATED_AT else range(every)
    records = [record(org, entity, number, changed) for number in numbers[offset : offset + size]]
    following = offset + size
    link = f"/{org}/{entity}?offset={following}&per_page={size}" if following < len(numbers) else None
    return msgspec.json.encode({"data": records, "meta": {"total": len(numbers)}, "links": {"next": link}})


def record(org: str, entity: str, number: int, changed: Changed = NOTHING) -> dict[str, object]:
    chance = int.from_bytes(blake2b(f"{org}/{number}".encode(), digest_size=4).digest(), "big")
    minutes = number % 500_000
    attributes = {
        "name": f"{entity} {number}",
        "email": f"u{number}@{org}.example",
        "status": ("active", "paused", "closed")[chance % 3],
        "amount": chance % 100_000,
        "created_at": f"2024-{1 + minutes % 12:02}-{1 + minutes % 28:02}T{minutes % 24:02}:{minutes % 60:02}:00Z",
        "note": "x" * (chance % 64),
    }
    if entity == "members":
        is_changed = changed.records and number % (amount(org) // changed.records) == 0
        attributes["updated_at"] = changed.at if is_changed else CREATED_AT
    return {
        "type": entity,
        "id": f"{entity}-{number:08}",
        "attributes": attributes,
        "relationships": {"account": {"data": {"type": "accounts", "id": f"accounts-{chance % 1000}"}}},
    }


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(partial(Server, Api()), "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    end_with_parent()
    uvloop.run(serve(int(sys.argv[1])))
