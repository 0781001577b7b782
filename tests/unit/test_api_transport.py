"""The real engine against servers on loopback that behave badly."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from service.api import transport as module
from service.api.transport import HttpTransport, Reply
from topics.errors import Rejected, Retryable

Speak = Callable[[asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def server(speak: Speak, asked: list[bytes] | None = None) -> AsyncIterator[str]:
    """A server that reads a request's head, speaks, and closes."""

    serving: list[asyncio.Task[None] | None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.append(asyncio.current_task())
        with suppress(asyncio.CancelledError, ConnectionError):
            head = await reader.readuntil(b"\r\n\r\n")
            if asked is not None:
                asked.append(head)
            await speak(writer)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    listening = await asyncio.start_server(serve, "127.0.0.1")
    try:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/x?key=pco-secret-77"
    finally:
        listening.close()
        tasks = [task for task in serving if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def saying(content: bytes) -> Speak:
    async def speak(writer: asyncio.StreamWriter) -> None:
        writer.write(content)
        await writer.drain()

    return speak


def answer(content: bytes, *headers: str) -> bytes:
    lines = ["HTTP/1.1 200 OK", f"Content-Length: {len(content)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + content


@pytest.fixture
async def engine() -> AsyncIterator[HttpTransport]:
    transport = HttpTransport()
    yield transport
    await transport.close()


async def ask(engine: HttpTransport, url: str) -> Reply:
    return await engine.exchange("acme/pco: GET /x", "GET", url, {"user-agent": "sluice/test"})


async def test_a_page_comes_whole(engine: HttpTransport) -> None:
    async with server(saying(answer(b"{}" * 50_000, "X-Count: 7"))) as url:
        reply = await ask(engine, url)
    assert (reply.status, reply.headers["x-count"], len(reply.body)) == (200, "7", 100_000)


async def test_a_packed_page_is_unpacked(engine: HttpTransport) -> None:
    async with server(saying(answer(gzip.compress(b"page"), "Content-Encoding: gzip"))) as url:
        assert (await ask(engine, url)).body == b"page"


async def test_no_cookie_of_one_answer_is_sent_with_the_next_request(engine: HttpTransport) -> None:
    asked: list[bytes] = []
    async with server(saying(answer(b"{}", "Set-Cookie: a=b; Path=/", "Connection: close")), asked) as url:
        await ask(engine, url)
        await ask(engine, url)
    assert len(asked) == 2
    assert b"cookie" not in asked[1].lower()
    assert b"user-agent: sluice/test" in asked[1].lower()


@pytest.mark.parametrize(
    "content",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nhalf",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"",
        answer(b"\x1f\x8b no gzip", "Content-Encoding: gzip"),
    ],
)
async def test_half_an_answer_is_worth_another_try(engine: HttpTransport, content: bytes) -> None:
    async with server(saying(content)) as url:
        with pytest.raises(Retryable, match=r"^acme/pco: GET /x had no whole answer \(") as caught:
            await ask(engine, url)
    assert "pco-secret-77" not in str(caught.value)


async def test_nobody_at_home_is_worth_another_try(engine: HttpTransport) -> None:
    async with server(saying(b"")) as url:
        pass
    with pytest.raises(Retryable, match="Cannot connect"):
        await ask(engine, url)


async def hang(writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def drip(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
    for _ in range(50):
        writer.write(b"x")
        await asyncio.sleep(0.02)


async def test_a_server_that_hangs_is_left(engine: HttpTransport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "READ_SECONDS", 0.05)
    async with server(hang) as url:
        with pytest.raises(Retryable, match="Timeout"):
            await ask(engine, url)


async def test_a_server_that_drips_is_left_too(engine: HttpTransport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TOTAL_SECONDS", 0.1)
    async with server(drip) as url:
        with pytest.raises(Retryable, match="Timeout"):
            await ask(engine, url)


@pytest.mark.parametrize("packed", [False, True])
async def test_a_body_over_the_bound_is_rejected(
    engine: HttpTransport, monkeypatch: pytest.MonkeyPatch, packed: bool
) -> None:
    monkeypatch.setattr(module, "BODY_BYTES_MAX", 100_000)
    content = b"x" * 1_000_000
    said = answer(gzip.compress(content), "Content-Encoding: gzip") if packed else answer(content)
    async with server(saying(said)) as url:
        with pytest.raises(Rejected, match="more than 100000 bytes"):
            await ask(engine, url)


async def test_a_redirect_is_an_answer_like_any_other(engine: HttpTransport) -> None:
    moved = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
    async with server(saying(moved)) as url:
        assert (await ask(engine, url)).status == 302
