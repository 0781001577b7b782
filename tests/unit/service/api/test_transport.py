"""The real transport against servers on loopback that behave badly."""

import asyncio
import gzip
import ssl
import zlib
from collections.abc import AsyncIterator

import pytest

from service.api import reply as replies
from service.api import transport as transports
from service.api import wire as wires
from service.api.reply import Reply
from service.api.transport import HttpTransport
from tests.support.loopback import CERTIFICATE, Caller, Server, answer, hang, keeping, saying, server
from topics.errors import Rejected, Retryable


@pytest.fixture
async def engine() -> AsyncIterator[HttpTransport]:
    transport = HttpTransport()
    yield transport
    await transport.close()


async def ask(engine: HttpTransport, at: Server, method: str = "GET") -> Reply:
    return await engine.exchange(f"acme/pco: {method} /x", method, at.url, {"user-agent": "sluice/test"})


async def test_a_page_comes_whole(engine: HttpTransport) -> None:
    async with server(saying(answer(b"{}" * 50_000, "X-Count: 7"))) as there:
        reply = await ask(engine, there)
    assert (reply.status, reply.headers["x-count"], len(reply.body)) == (200, "7", 100_000)


async def test_a_packed_page_is_unpacked(engine: HttpTransport) -> None:
    async with server(saying(answer(gzip.compress(b"page"), "Content-Encoding: gzip"))) as there:
        assert (await ask(engine, there)).body == b"page"


async def test_no_cookie_of_one_answer_is_sent_with_the_next_request(engine: HttpTransport) -> None:
    async with server(keeping(answer(b"{}", "Set-Cookie: a=b; Path=/"), answer(b"{}"))) as there:
        await ask(engine, there)
        await ask(engine, there)
        [caller] = there.callers
    assert b"cookie" not in caller.asked[1].lower()
    assert b"user-agent: sluice/test" in caller.asked[1].lower()


@pytest.mark.parametrize(
    "content",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nhalf",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 001 OK\r\nContent-Length: 1\r\n\r\nx",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(b"half")[:-4],
        answer(gzip.compress(b"page") + b"rest", "Content-Encoding: gzip"),
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"",
        answer(b"\x1f\x8b no gzip", "Content-Encoding: gzip"),
    ],
)
async def test_half_an_answer_is_worth_another_try(engine: HttpTransport, content: bytes) -> None:
    async with server(saying(content)) as there:
        with pytest.raises(Retryable, match=r"^acme/pco: GET /x had no whole answer \(") as caught:
            await ask(engine, there)
    assert "pco-secret-77" not in str(caught.value)


async def test_nobody_at_home_is_worth_another_try(engine: HttpTransport) -> None:
    async with server(saying(b"")) as there:
        pass
    with pytest.raises(Retryable, match="Cannot connect"):
        await ask(engine, there)


async def drip(caller: Caller) -> None:
    await caller.hear()
    await caller.say(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
    for _ in range(50):
        await caller.say(b"x")
        await asyncio.sleep(0.02)


async def test_a_server_that_hangs_is_left(engine: HttpTransport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wires, "READ_SECONDS", 0.05)
    async with server(hang) as there:
        with pytest.raises(Retryable, match="Timeout"):
            await ask(engine, there)


async def test_a_server_that_drips_is_left_too(engine: HttpTransport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wires, "TOTAL_SECONDS", 0.1)
    async with server(drip) as there:
        with pytest.raises(Retryable, match="Timeout"):
            await ask(engine, there)


@pytest.mark.parametrize("packed", [False, True])
async def test_a_body_over_the_bound_is_rejected(
    engine: HttpTransport, monkeypatch: pytest.MonkeyPatch, packed: bool
) -> None:
    monkeypatch.setattr(replies, "BODY_BYTES_MAX", 100_000)
    content = b"x" * 1_000_000
    said = answer(gzip.compress(content), "Content-Encoding: gzip") if packed else answer(content)
    async with server(saying(said)) as there:
        with pytest.raises(Rejected, match="more than 100000 bytes"):
            await ask(engine, there)


async def test_a_redirect_is_an_answer_like_any_other(engine: HttpTransport) -> None:
    moved = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
    async with server(saying(moved)) as there:
        assert (await ask(engine, there)).status == 302


@pytest.mark.parametrize(
    "said",
    [
        answer(b"page"),
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\nContent-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npage\r\n0\r\n\r\n",
        answer(b"page", "Connection: Upgrade, Keep-Alive", "Upgrade: h2,h2c"),
        b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n" + answer(b"page"),
    ],
)
async def test_a_socket_is_used_again(engine: HttpTransport, said: bytes) -> None:
    async with server(keeping(said, answer(b"next"))) as there:
        await ask(engine, there)
        assert (await ask(engine, there)).body == b"next"
        assert there.asked == [2]


@pytest.mark.parametrize(
    "said",
    [
        answer(b"page", "Connection: close"),
        answer(b"page").replace(b"1.1", b"1.0"),
        answer(b"page") + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nano",  # half of what nobody asked for
        answer(b"page") + answer(b"another"),
        answer(b"page") + b"noise",
    ],
)
async def test_a_socket_that_cannot_be_trusted_is_not_used_again(engine: HttpTransport, said: bytes) -> None:
    async with server(keeping(said, b"ther" + answer(b"wrong")), keeping(answer(b"right"))) as there:
        assert (await ask(engine, there)).body == b"page"
        assert (await ask(engine, there)).body == b"right"
        assert there.asked == [1, 1]
        await there.callers[0].wait_until_gone()


async def test_a_server_that_speaks_to_an_idle_socket_loses_it(engine: HttpTransport) -> None:
    told = asyncio.Event()

    async def speak(caller: Caller) -> None:
        await saying(answer(b"page"))(caller)
        await told.wait()
        await caller.say(answer(b"wrong"))
        await hang(caller)

    async with server(speak, keeping(answer(b"right"))) as there:
        await ask(engine, there)
        told.set()
        await there.callers[0].wait_until_gone()
        assert (await ask(engine, there)).body == b"right"


async def test_a_page_on_a_socket_that_was_just_closed_is_asked_for_again(engine: HttpTransport) -> None:
    async with server(saying(answer(b"first"), b""), keeping(answer(b"second"))) as there:
        await ask(engine, there)
        assert (await ask(engine, there)).body == b"second"
        assert there.asked == [2, 1]


async def test_it_is_asked_for_again_only_once(engine: HttpTransport) -> None:
    async with server(saying(answer(b"first"), b""), saying(b"")) as there:
        await ask(engine, there)
        with pytest.raises(Retryable, match="the connection was lost"):
            await ask(engine, there)
        assert there.asked == [2, 1]


async def test_it_is_not_asked_for_again_once_an_answer_has_begun(engine: HttpTransport) -> None:
    async with server(saying(answer(b"first"), b"HTTP/1.1 200"), keeping(answer(b"second"))) as there:
        await ask(engine, there)
        with pytest.raises(Retryable, match="the connection was lost"):
            await ask(engine, there)
        assert there.asked == [2]


async def test_a_post_goes_over_a_socket_of_its_own_and_only_once(engine: HttpTransport) -> None:
    async with server(keeping(answer(b"page")), saying(b""), keeping(answer(b"wrong"))) as there:
        await ask(engine, there)
        with pytest.raises(Retryable, match="the connection was lost"):
            await ask(engine, there, "POST")
        assert there.asked == [1, 1]


async def test_a_body_may_end_with_the_connection(engine: HttpTransport) -> None:
    async with server(saying(b"HTTP/1.1 200 OK\r\n\r\npage")) as there:
        assert (await ask(engine, there)).body == b"page"


async def test_what_stands_behind_a_body_is_no_header(engine: HttpTransport) -> None:
    said = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npage\r\n0\r\nRetry-After: 9\r\n\r\n"
    async with server(saying(said)) as there:
        reply = await ask(engine, there)
    assert (reply.body, "retry-after" in reply.headers) == (b"page", False)


@pytest.mark.parametrize("packed", [zlib.compress(b"one page"), zlib.compress(b"one page", wbits=-15)])
async def test_a_deflated_page_is_unpacked_with_and_without_a_wrapper(engine: HttpTransport, packed: bytes) -> None:
    async with server(saying(answer(packed, "Content-Encoding: deflate"))) as there:
        assert (await ask(engine, there)).body == b"one page"


async def test_a_packing_that_nobody_asked_for_is_named_without_the_servers_words(engine: HttpTransport) -> None:
    async with server(saying(answer(b"page", "Content-Encoding: pco-secret-77"))) as there:
        with pytest.raises(Retryable, match=r"GET /x had no whole answer \(packed otherwise than asked for\)$"):
            await ask(engine, there)


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 200 OK\r\nX-Endless: " + b"x" * 100_000,
        b"HTTP/1.1 200 OK\r\n" + b"X-Many: x\r\n" * 10_000,
        b"HTTP/1.1 103 Early Hints\r\n\r\n" * 10_000,
    ],
)
async def test_headers_without_an_end_are_left(engine: HttpTransport, said: bytes) -> None:
    async with server(keeping(said)) as there:
        with pytest.raises(Retryable, match="headers of more than 65536 bytes"):
            await ask(engine, there)
        await there.callers[0].wait_until_gone()


async def test_an_answer_that_is_mostly_frame_is_rejected(
    engine: HttpTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wires, "ANSWER_BYTES_MAX", 100_000)
    said = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 50_000
    async with server(keeping(said)) as there:
        with pytest.raises(Rejected, match="more than 100000 bytes with its framing"):
            await ask(engine, there)


@pytest.mark.parametrize("secret", ["pco-secret-77\r\nx: y", "pco-secret-77\0", "pco-secret-77\u20ac"])
async def test_a_header_that_would_be_more_than_one_is_rejected(engine: HttpTransport, secret: str) -> None:
    with pytest.raises(Rejected, match=r"^acme/pco: GET /x cannot be sent: a header holds") as caught:
        await engine.exchange("acme/pco: GET /x", "GET", "http://127.0.0.1:1/x", {"authorization": secret})
    assert "pco-secret-77" not in str(caught.value)


async def test_a_form_that_is_not_text_is_rejected(engine: HttpTransport) -> None:
    with pytest.raises(Rejected, match=r"^acme/pco: token cannot be sent: .* a secret is not in UTF-8$"):
        await engine.exchange("acme/pco: token", "POST", "http://127.0.0.1:1/x", {}, {"client_secret": "\udcff"})


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://host/x",
        "http:///x",
        "http://host:0/x",
        "http://host:65536/x",
        "http://host:port/x",
        "https://two..dots/x",
        "https://.host/x",
        f"https://{'a' * 64}.org/x",
        f"https://{'a.' * 200}org/x",
        "http://[::1/x",
        "http://[1::2::3]/x",
        "http://user:pco-secret-77@host/x",
        "http://b\u00fccher.example/x",
        "http://host/a page",
        "http://host/x\r\nx: y",
    ],
)
async def test_an_address_that_leads_nowhere_is_rejected(engine: HttpTransport, url: str) -> None:
    with pytest.raises(Rejected, match=r"^acme/pco: GET /x cannot be sent: the address is not of the form") as caught:
        await engine.exchange("acme/pco: GET /x", "GET", url, {})
    assert "pco-secret-77" not in str(caught.value)


async def test_a_server_that_does_not_shake_hands_is_left(
    engine: HttpTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transports, "CONNECT_SECONDS", 0.05)
    async with server(hang) as there:
        with pytest.raises(Retryable, match=r"Cannot connect to 127.0.0.1:\d+: it takes too long"):
            await engine.exchange("acme/pco: GET /x", "GET", there.url.replace("http:", "https:"), {})


async def test_a_cancellation_closes_the_socket(engine: HttpTransport) -> None:
    async with server(hang) as there:
        asking = asyncio.create_task(ask(engine, there))
        while not any(there.asked):
            await asyncio.sleep(0.001)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        assert asking.cancelled()
        await there.callers[0].wait_until_gone()


async def test_an_idle_socket_is_closed_after_a_while(engine: HttpTransport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transports, "IDLE_SOCKET_SECONDS", 0.01)
    async with server(keeping(answer(b"page"))) as there:
        await ask(engine, there)
        await there.callers[0].wait_until_gone()
        await ask(engine, there)
        assert there.asked == [1, 1]


async def test_the_oldest_idle_socket_makes_room_for_a_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transports, "SOCKETS_MAX", 2)
    engine = HttpTransport()
    async with server(keeping(answer(b"page"), answer(b"next"))) as there:
        for _ in range(3):
            await ask(engine, there, "POST")
        await there.callers[0].wait_until_gone()
        assert [caller.gone.is_set() for caller in there.callers] == [True, False, False]
        assert (await ask(engine, there)).body == b"next"
        await engine.close()


async def test_no_socket_outlives_the_transport(engine: HttpTransport) -> None:
    async with server(keeping(answer(b"page"))) as there:
        await ask(engine, there)
        await engine.close()
        await ask(engine, there)
        assert there.asked == [1, 1]
        for caller in there.callers:
            await caller.wait_until_gone()


@pytest.fixture
def tls() -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(CERTIFICATE)
    return context


async def test_a_certificate_that_nobody_trusts_is_no_way_in(engine: HttpTransport, tls: ssl.SSLContext) -> None:
    async with server(keeping(answer(b"page")), tls=tls) as there:
        with pytest.raises(Retryable, match=r"Cannot connect to 127.0.0.1:\d+: .*self-signed certificate") as caught:
            await ask(engine, there)
    assert "pco-secret-77" not in str(caught.value)


async def test_a_certificate_in_ssl_cert_file_is_trusted(tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    engine = HttpTransport()
    async with server(keeping(answer(b"page"), answer(b"next")), tls=tls) as there:
        assert (await ask(engine, there)).body == b"page"
        assert (await ask(engine, there)).body == b"next"
        assert there.asked == [2]
        await engine.close()
        await there.callers[0].wait_until_gone()
