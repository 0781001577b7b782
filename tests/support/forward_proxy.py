"""A forward proxy on loopback: CONNECT for https, absolute addresses for http, with a password."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tests.support.loopback import Caller, server

USER, PASSWORD = "sluice", "proxy-secret-99"
_AUTHORIZATION = f"proxy-authorization: basic {b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}".lower()
_NEEDS_PASSWORD = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
_UNKNOWN = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"


@dataclass
class ForwardProxy:
    """`ports`: where the names that it knows are on 127.0.0.1. `asked`: the first line of each request."""

    ports: Mapping[str, int]
    port: int = 0
    asked: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://{USER}:{PASSWORD}@127.0.0.1:{self.port}"

    async def serve(self, caller: Caller) -> None:
        line, *headers = (await caller.hear()).decode().split("\r\n")
        method, address, version = line.split(" ")
        self.asked.append(line)
        url = urlsplit(f"//{address}" if method == "CONNECT" else address)
        name = url.hostname or ""
        if _AUTHORIZATION not in map(str.lower, headers):
            await caller.say(_NEEDS_PASSWORD)
        elif name not in self.ports:
            await caller.say(_UNKNOWN)
        elif method == "CONNECT":
            await caller.say(b"HTTP/1.1 200 Connection Established\r\n\r\n")
            await join(self.ports[name], b"", caller)
        else:
            target = url._replace(scheme="", netloc="").geturl()
            kept = [header for header in headers if not header.lower().startswith(("proxy-", "connection"))][:-2]
            lines = [f"{method} {target} {version}", *kept, "Connection: close", "", ""]
            await join(self.ports[name], "\r\n".join(lines).encode(), caller)


async def join(port: int, request: bytes, caller: Caller) -> None:
    """Send the request to the port on 127.0.0.1, then copy both ways until both sides have closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    try:
        await asyncio.gather(_copy(caller.reader, writer), _copy(reader, caller.writer))
    finally:
        writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while piece := await reader.read(65_536):
            writer.write(piece)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def forward_proxy(ports: Mapping[str, int]) -> AsyncIterator[ForwardProxy]:
    proxy = ForwardProxy(ports)
    async with server(proxy.serve) as there:
        proxy.port = there.port
        yield proxy
