"""TCP proxies between each pair of processes: open, cut, frozen, slow, or with responses lost.

They run on an event loop in a thread of its own, so that the network stays as it was set while the experiment waits
for something else.
"""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

CHUNK_BYTES_MAX = 65_536
CONNECT_SECONDS_MAX = 5.0

Mode = Literal["open", "cut", "frozen", "slow"]


@dataclass(eq=False)
class Connection:
    """Both ends of one connection; `requested` counts the bytes that the client sent since the last response."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    requested: int = 0

    def abort(self) -> None:
        """A reset, as from a machine that is gone: what was under way is lost."""
        self.client.transport.abort()
        self.server.transport.abort()


@dataclass(eq=False)
class Link:
    """One way from a process (`source`) to a server (`target`), with all the connections that go over it.

    cut: connections are reset, new ones too. frozen: nothing passes and no side notices (half-open); once it is open
    again, what was under way arrives. slow: each chunk takes `delay_seconds`. `swallowed` responses to
    requests of at least `swallow_from_bytes` are lost after the server has processed them: a reset instead.
    """

    source: str
    target: str
    target_port: int
    port: int = 0
    server: asyncio.Server | None = None
    mode: Mode = "open"
    delay_seconds: float = 0.0
    swallowed: int = 0
    swallow_from_bytes: int = 0
    connections: set[Connection] = field(default_factory=set)
    flowing: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self) -> None:
        self.flowing.set()
        self.server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]

    def become(self, mode: Mode, delay_seconds: float) -> None:
        self.mode, self.delay_seconds = mode, delay_seconds
        if mode == "cut":
            self.reset()
        if mode == "frozen":
            self.flowing.clear()
        else:
            self.flowing.set()

    def swallow(self, answers: int, from_bytes: int) -> None:
        self.swallowed, self.swallow_from_bytes = answers, from_bytes

    def reset(self) -> None:
        for connection in list(self.connections):
            connection.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.mode == "cut":
            writer.transport.abort()
            return
        await self.flowing.wait()
        try:
            async with asyncio.timeout(CONNECT_SECONDS_MAX):
                from_server, to_server = await asyncio.open_connection("127.0.0.1", self.target_port)
        except (OSError, TimeoutError):
            writer.transport.abort()
            return
        connection = Connection(writer, to_server)
        self.connections.add(connection)
        try:
            await asyncio.gather(self._send_requests(connection, reader), self._send_responses(connection, from_server))
        finally:
            connection.abort()
            self.connections.discard(connection)

    async def _send_requests(self, connection: Connection, reader: asyncio.StreamReader) -> None:
        while data := await self._next(connection, reader):
            connection.requested += len(data)
            await self._pass_on(connection.server, data)
        connection.abort()

    async def _send_responses(self, connection: Connection, reader: asyncio.StreamReader) -> None:
        while data := await self._next(connection, reader):
            if self.swallowed and connection.requested >= self.swallow_from_bytes:
                self.swallowed -= 1
                break
            connection.requested = 0
            await self._pass_on(connection.client, data)
        connection.abort()

    async def _next(self, connection: Connection, reader: asyncio.StreamReader) -> bytes:
        """The next bytes, once they may pass; nothing at the end, however it came."""
        try:
            data = await reader.read(CHUNK_BYTES_MAX)
        except OSError:
            data = b""
        await self.flowing.wait()
        if self.mode == "slow":
            await asyncio.sleep(self.delay_seconds)
        return b"" if connection.client.transport.is_closing() else data

    async def _pass_on(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        try:
            writer.write(data)
            await writer.drain()
        except OSError:
            return  # the other direction reads the end


class Network:
    """All links. Its methods may be called from any thread but its own."""

    def __init__(self) -> None:
        self.links: list[Link] = []
        self._loop = asyncio.new_event_loop()

    @contextmanager
    def running(self) -> Iterator["Network"]:
        thread = threading.Thread(target=self._loop.run_forever, name="network", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join()
            self._loop.close()

    def connect(self, source: str, target: str, target_port: int) -> int:
        """The port at which `source` finds `target` from now on."""
        link = Link(source, target, target_port)
        asyncio.run_coroutine_threadsafe(link.serve(), self._loop).result()
        self.links.append(link)
        return link.port

    def between(self, source: str, target: str) -> list[Link]:
        """Links from the process to servers whose name begins with `target`: `kafka` is all brokers."""
        return [link for link in self.links if link.source == source and link.target.startswith(target)]

    def change(self, links: list[Link], mode: Mode, delay_seconds: float = 0.0) -> None:
        for link in links:
            self._loop.call_soon_threadsafe(link.become, mode, delay_seconds)

    def swallow(self, links: list[Link], answers: int, from_bytes: int) -> None:
        for link in links:
            self._loop.call_soon_threadsafe(link.swallow, answers, from_bytes)

    def reset(self, links: list[Link]) -> None:
        for link in links:
            self._loop.call_soon_threadsafe(link.reset)

    async def _end(self) -> None:
        for link in self.links:
            link.become("cut", 0.0)
            if link.server is not None:
                link.server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
