"""The transport against servers on loopback that behave badly."""

import asyncio
import gzip
from collections.abc import AsyncIterator

import pytest

from service.api import body as bodies
from service.api import http as clients
from service.api.exchange import Request
from service.api.http import HttpOptions
from service.api.transport import HttpTransport
from tests.support.http import Ask, both, get, post
from tests.support.loopback import Speak, answer, drip, hang, keeping, saying, server
from topics.errors import Rejected, Retryable

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
async def transport(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[HttpTransport]:
    monkeypatch.setattr(clients, "CONNECT_SECONDS", 0.5)
    monkeypatch.setattr(clients, "READ_SECONDS", 0.5)
    monkeypatch.setattr(clients, "TOTAL_SECONDS", 1.0)
    made = HttpTransport(HttpOptions())
    yield made
    await made.close()


@pytest.mark.parametrize(
    ("said", "status", "body"),
    [
        (answer(b"{}" * 50_000), 200, b"{}" * 50_000),
        (answer(gzip.compress(b"page", mtime=0), "Content-Encoding: gzip"), 200, b"page"),
        (CHUNKED + b"4\r\npage\r\n0\r\nRetry-After: 9\r\n\r\n", 200, b"page"),
        (b"HTTP/1.1 200 OK\r\n\r\npage", 200, b"page"),
        (b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n" + answer(b"page"), 200, b"page"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\nContent-Encoding: gzip\r\n\r\n", 304, b""),
    ],
)
async def test_an_answer_comes_whole(transport: HttpTransport, said: bytes, status: int, body: bytes) -> None:
    async with server(saying(said)) as there:
        response = await get(transport, there.url)
    assert (response.status, response.body, response.headers.get("Retry-After", "")) == (status, body, "")


async def test_headers_are_found_in_any_case_and_one_that_is_no_text_is_missing(transport: HttpTransport) -> None:
    async with server(saying(answer(b"page", "X-Count: 7", "X-Count: 8", "X-Name: \u00e9"))) as there:
        headers = (await get(transport, there.url)).headers
        assert [headers.get(name, "none") for name in ("x-COUNT", "x-name", "x-other")] == ["7", "none", "none"]
        with pytest.raises(Retryable, match="a header is not ASCII text"):
            await post(transport, there.url)


@pytest.mark.parametrize(
    "content",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
        CHUNKED + b"64\r\nhalf",
        CHUNKED + b"1;" + b"x" * 100_000 + b"\r\nx\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 001 OK\r\nContent-Length: 1\r\n\r\nx",
        answer(gzip.compress(b"half", mtime=0)[:-4], "Content-Encoding: gzip"),
        answer(b"page", "Content-Encoding: pco-secret-77"),
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"",
    ],
)
@both
async def test_half_an_answer_is_worth_another_try(transport: HttpTransport, content: bytes, ask: Ask) -> None:
    async with server(saying(content)) as there:
        with pytest.raises(Retryable, match=r"^acme/pco: (GET|POST) /x had no whole answer \([^()]+\)$") as caught:
            await ask(transport, there.url)
    assert "pco-secret-77" not in str(caught.value)


async def test_a_server_that_is_down_is_worth_another_try(transport: HttpTransport) -> None:
    async with server(saying(b"")) as there:
        pass
    with pytest.raises(Retryable, match=r"\(cannot connect to 127.0.0.1:\d+: Connection refused \(os error 111\)\)$"):
        await get(transport, there.url)


@pytest.mark.parametrize(("speak", "scheme"), [(hang, "http"), (drip, "http"), (hang, "https")])
@both
async def test_a_server_that_takes_too_long_is_left(
    transport: HttpTransport, speak: Speak, scheme: str, ask: Ask
) -> None:
    async with server(speak) as there:
        with pytest.raises(Retryable, match=r"had no whole answer \(operation timed out\)$"):
            await ask(transport, there.url.replace("http", scheme))


async def test_a_request_waits_for_a_connection_only_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "SOCKETS", 1)
    monkeypatch.setattr(clients, "POOL_SECONDS", 0.05)
    transport = HttpTransport(HttpOptions())
    async with server(hang) as there:
        first = asyncio.create_task(get(transport, there.url))
        await there.until_asked()
        with pytest.raises(Retryable, match="no whole answer"):
            await get(transport, there.url)
        first.cancel()
        await transport.close()


TOO_LONG = "headers of more than 417792 bytes, or more than 100 of them"


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (answer(b"x" * 20_000_000), "a body of more than 100000 bytes; make the pages smaller"),
        (b"HTTP/1.1 200 OK\r\nX-Endless: " + b"x" * 500_000, TOO_LONG),
        (b"HTTP/1.1 200 OK\r\n" + b"X-Many: x\r\n" * 101 + b"\r\n", TOO_LONG),
    ],
)
@both
async def test_an_answer_over_a_bound_is_rejected(
    transport: HttpTransport, monkeypatch: pytest.MonkeyPatch, said: bytes, why: str, ask: Ask
) -> None:
    monkeypatch.setattr(bodies, "BODY_BYTES_MAX", 100_000)
    async with server(keeping(said)) as there:
        with pytest.raises(Rejected, match=rf"^acme/pco: \w+ /x had {why}$"):
            await ask(transport, there.url)


async def test_a_connection_is_used_again(transport: HttpTransport) -> None:
    async with server(keeping(answer(b"page"), answer(b"next"))) as there:
        await get(transport, there.url)
        assert (await get(transport, there.url)).body == b"next"
        assert there.asked == [2]


async def test_a_token_request_goes_over_a_connection_of_its_own_and_only_once(transport: HttpTransport) -> None:
    async with server(keeping(answer(b"token")), saying(b""), keeping(answer(b"wrong"))) as there:
        await post(transport, there.url)
        with pytest.raises(Retryable, match="connection closed"):
            await post(transport, there.url)
        assert there.asked == [1, 1]


@pytest.mark.parametrize("secret", ["pco-secret-77\r\nx: y", "pco-secret-77\0"])
async def test_a_header_that_would_be_more_than_one_is_rejected(transport: HttpTransport, secret: str) -> None:
    with pytest.raises(Rejected, match=r"^acme/pco: GET /x cannot be sent: a header holds") as caught:
        await transport.exchange(Request("acme/pco: GET /x", "GET", "http://127.0.0.1:1/x", {}, secret))
    assert "pco-secret-77" not in str(caught.value)


@pytest.mark.parametrize("url", ["", "ftp://host/x", "http://host:65536/x", "http://host:port/x", "http://[::1/x"])
async def test_an_address_that_leads_nowhere_is_rejected(transport: HttpTransport, url: str) -> None:
    with pytest.raises(Rejected, match=r"^acme/pco: GET /x cannot be sent: its address is not valid"):
        await get(transport, url)


async def test_a_cancellation_closes_the_connection(transport: HttpTransport) -> None:
    async with server(hang) as there:
        asking = asyncio.create_task(get(transport, there.url))
        await there.until_asked()
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        assert asking.cancelled()
        await there.callers[0].wait_until_gone()
