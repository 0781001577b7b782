"""The API of the benchmark: pages rendered once and served from memory, so that it is never what is measured.

GET /{org}/contacts?offset=&per_page= is a pure function of its address; an organisation's name says how much it has:
`p25-x` has 25 pages of 25 records, `r10000-x` 10,000 records. Run: python -m tests.bench.api PORT.
"""

import asyncio
import sys
from hashlib import blake2b
from typing import cast
from urllib.parse import parse_qsl, urlsplit

import msgspec
import uvloop

PAGES_CACHED_MAX = 20_000
PAGE = 25
_pages: dict[bytes, bytes] = {}


class Server(asyncio.Protocol):
    """HTTP/1.1 with keep-alive, GET only."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            target = self._buffer[: self._buffer.find(b"\r\n")].split(b" ")[1]
            self._buffer = self._buffer[end + 4 :]
            self._transport.write(answer(target))


def answer(target: bytes) -> bytes:
    page = _pages.get(target)
    if page is None:
        if len(_pages) >= PAGES_CACHED_MAX:
            _pages.clear()
        page = _pages[target] = render(target.decode())
    return page


def render(target: str) -> bytes:
    parts = urlsplit(target)
    org, kind = parts.path.strip("/").split("/")
    query = dict(parse_qsl(parts.query))
    offset, size = int(query.get("offset", 0)), int(query.get("per_page", PAGE))
    amount = int(org[1:].partition("-")[0])
    total = amount * PAGE if org[0] == "p" else amount
    records = [record(org, kind, number) for number in range(offset, min(offset + size, total))]
    following = offset + size
    link = f"/{org}/{kind}?offset={following}&per_page={size}" if following < total else None
    body = msgspec.json.encode({"data": records, "meta": {"total": total}, "links": {"next": link}})
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.api+json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def record(org: str, kind: str, number: int) -> dict[str, object]:
    chance = int.from_bytes(blake2b(f"{org}/{number}".encode(), digest_size=4).digest(), "big")
    minutes = number % 500_000
    return {
        "type": kind,
        "id": f"{kind}-{number:08}",
        "attributes": {
            "name": f"{kind} {number}",
            "email": f"u{number}@{org}.example",
            "status": ("active", "paused", "closed")[chance % 3],
            "amount": chance % 100_000,
            "created_at": f"2024-{1 + minutes % 12:02}-{1 + minutes % 28:02}T{minutes % 24:02}:{minutes % 60:02}:00Z",
            "note": "x" * (chance % 64),
        },
        "relationships": {"account": {"data": {"type": "accounts", "id": f"accounts-{chance % 1000}"}}},
    }


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
