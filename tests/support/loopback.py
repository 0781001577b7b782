"""HTTP servers on loopback that send exactly what a test wants, however wrong it is."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RequestReceived

CERTIFICATE = Path(__file__).with_name("loopback.pem")  # and its key; for 127.0.0.1, localhost and api.test
AUTHORITY = Path(__file__).with_name("loopback-ca.pem")  # that has signed it
PATIENCE_SECONDS = 20.0  # for what a test waits for; less than a transport's own


@dataclass
class Caller:
    """A connection as its server sees it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    asked: list[bytes] = field(default_factory=list)
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    async def hear(self) -> bytes:
        """A request's head."""
        self.asked.append(await self.reader.readuntil(b"\r\n\r\n"))
        return self.asked[-1]

    async def say(self, content: bytes) -> None:
        self.writer.write(content)
        await self.writer.drain()

    async def wait_until_gone(self) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self.gone.wait()


Speak = Callable[[Caller], Awaitable[None]]


@dataclass
class Server:
    """What it was asked, connection by connection."""

    url: str
    callers: list[Caller]

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or 0

    @property
    def asked(self) -> list[int]:
        """How often on each connection."""
        return [len(caller.asked) for caller in self.callers]

    async def until_asked(self) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not any(self.asked):
                await asyncio.sleep(0.001)


@asynccontextmanager
async def server(*speaks: Speak, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    """The first speaks with the first caller, and so on; the last one with all others. Then it closes."""
    callers: list[Caller] = []
    serving: list[asyncio.Task[None] | None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.append(asyncio.current_task())
        caller = Caller(reader, writer)
        callers.append(caller)
        with suppress(asyncio.CancelledError, asyncio.IncompleteReadError, ConnectionError):
            await speaks[min(len(callers), len(speaks)) - 1](caller)
        caller.gone.set()
        writer.close()
        with suppress(asyncio.CancelledError, ConnectionError, ssl.SSLError):
            await writer.wait_closed()

    listening = await asyncio.start_server(serve, "127.0.0.1", ssl=tls)
    scheme, port = "https" if tls else "http", listening.sockets[0].getsockname()[1]
    try:
        yield Server(f"{scheme}://127.0.0.1:{port}/x?key=pco-secret-77", callers)
    finally:
        listening.close()
        tasks = [task for task in serving if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def saying(*contents: bytes) -> Speak:
    """Hears a request before each of them."""

    async def speak(caller: Caller) -> None:
        for content in contents:
            await caller.hear()
            await caller.say(content)

    return speak


async def hang(caller: Caller) -> None:
    """Hears, and never says a word."""
    while True:
        await caller.hear()


def keeping(*contents: bytes) -> Speak:
    """Says them, and keeps the connection for as long as the other side does."""

    async def speak(caller: Caller) -> None:
        await saying(*contents)(caller)
        await hang(caller)

    return speak


async def drip(caller: Caller) -> None:
    """Hears, and answers so slowly that it never ends."""
    await caller.hear()
    await caller.say(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while True:
        await caller.say(b"x")
        await asyncio.sleep(0.05)


def http2(*headers: tuple[str, str]) -> Speak:
    """Answers every request with a page and these headers."""

    async def speak(caller: Caller) -> None:
        connection = H2Connection(H2Configuration(client_side=False))
        connection.initiate_connection()
        await caller.say(connection.data_to_send())
        while content := await caller.reader.read(65_536):
            for event in connection.receive_data(content):
                if isinstance(event, RequestReceived):
                    connection.send_headers(event.stream_id, [(":status", "200"), *headers])
                    connection.send_data(event.stream_id, b"page", end_stream=True)
            await caller.say(connection.data_to_send())

    return speak


def answer(content: bytes, *headers: str) -> bytes:
    lines = ["HTTP/1.1 200 OK", f"Content-Length: {len(content)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + content


def server_tls(*protocols: str) -> ssl.SSLContext:
    """`protocols` are offered by ALPN."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    if protocols:
        context.set_alpn_protocols(protocols)
    context.load_cert_chain(CERTIFICATE)
    return context
