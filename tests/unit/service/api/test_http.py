"""The clients as they are built: what they send, what they trust, and which proxy they take."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from service.api import http as module
from service.api.failures import Untrusted
from service.api.http import USER_AGENT, HttpOptions, page_client
from service.api.transport import HttpTransport
from tests.support.forward_proxy import PASSWORD, forward_proxy
from tests.support.http import Ask, both, get, post
from tests.support.loopback import AUTHORITY, CERTIFICATE, answer, hang, http2, keeping, saying, server, server_tls
from topics.errors import Rejected, Retryable

MOVED = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
COOKIE = answer(b"{}", "Set-Cookie: a=b; Path=/")


@asynccontextmanager
async def transport(*options: Any) -> AsyncIterator[HttpTransport]:
    made = HttpTransport(HttpOptions(*options))
    yield made
    await made.close()


FORM = ["connection: keep-alive", "content-length: 14", "content-type: application/x-www-form-urlencoded"]


@pytest.mark.parametrize(("ask", "method", "own"), [(get, "get", ["authorization: basic ea=="]), (post, "post", FORM)])
async def test_a_page_request_and_the_form_for_a_token_have_these_headers(
    ask: Ask, method: str, own: list[str]
) -> None:
    async with transport() as sender, server(saying(answer(b"{}"))) as there:
        assert (await ask(sender, there.url)).body == b"{}"
    first, *headers = there.callers[0].asked[0].decode().lower().strip().split("\r\n")
    assert first == f"{method} /x?key=pco-secret-77 http/1.1"
    always = ["accept-encoding: gzip", "accept: text/x", f"host: 127.0.0.1:{there.port}", f"user-agent: {USER_AGENT}"]
    assert sorted(headers) == sorted([*always, *own])


@both
async def test_redirects_are_not_followed_and_cookies_are_not_kept(ask: Ask) -> None:
    async with transport() as sender, server(saying(MOVED), keeping(COOKIE, COOKIE)) as there:
        assert (await ask(sender, there.url)).status == 302
        for _ in range(2):
            await ask(sender, there.url)
        assert not any(b"cookie" in asked.lower() for caller in there.callers for asked in caller.asked)


@both
async def test_a_certificate_is_trusted_by_the_setting_of_its_authority_only(ask: Ask) -> None:
    async with server(keeping(answer(b"page")), tls=server_tls()) as there, transport(AUTHORITY) as sender:
        assert (await ask(sender, there.url)).body == b"page"
    async with server(keeping(answer(b"page")), tls=server_tls()) as there, transport() as sender:
        with pytest.raises(Untrusted, match=r"certificate of 127.0.0.1:\d+ does not verify .*SLUICE_CA_FILE") as caught:
            await ask(sender, there.url)
    assert "pco-secret-77" not in str(caught.value)


async def test_a_certificate_for_another_name_is_rejected() -> None:
    async with (
        server(hang, tls=server_tls()) as there,
        forward_proxy({"other.test": there.port}) as proxy,
        transport(AUTHORITY, SecretStr(proxy.url)) as sender,
    ):
        with pytest.raises(Untrusted, match=r"certificate of other.test does not verify .*not valid for name"):
            await get(sender, "https://other.test/x")


@pytest.mark.parametrize("url", ["http://direct.test/", "https://sub.direct.test/"])
async def test_a_host_of_no_proxy_is_reached_directly(url: str) -> None:
    async with (
        forward_proxy({}) as proxy,
        transport(None, SecretStr(proxy.url), SecretStr(proxy.url), "direct.test") as sender,
    ):
        with pytest.raises(Retryable, match=r"cannot connect to (sub\.)?direct\.test: failed to lookup"):
            await get(sender, url)
    assert proxy.asked == []


@both
async def test_loopback_is_reached_directly(ask: Ask) -> None:
    async with (
        forward_proxy({}) as proxy,
        server(saying(answer(b"page"))) as there,
        transport(None, None, SecretStr(proxy.url)) as sender,
    ):
        assert (await ask(sender, there.url)).body == b"page"
    assert proxy.asked == []


async def test_variables_of_the_environment_are_not_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    async with transport() as sender:
        with pytest.raises(Retryable, match="failed to lookup"):
            await get(sender, "http://direct.test/")


async def test_no_error_shows_the_proxys_password() -> None:
    async with (
        forward_proxy({}) as proxy,
        transport(None, SecretStr(proxy.url), SecretStr(proxy.url.replace("//sluice", "//other"))) as sender,
    ):
        with pytest.raises(Retryable) as caught:
            await get(sender, "https://unknown.test/")
        assert (await get(sender, "http://unknown.test/")).status == 407
    assert "cannot connect to unknown.test: tunnel error: unsuccessful" in str(caught.value)
    assert PASSWORD not in str(caught.value) + repr(HttpOptions(None, SecretStr(proxy.url)))


@pytest.mark.parametrize("name", ["https_proxy", "http_proxy"])
@pytest.mark.parametrize("url", ["proxy-secret-99", "socks5://h:1", "http://", "ftp://u:proxy-secret-99@h"])
def test_a_proxy_that_is_no_address_is_rejected_by_its_variable(name: str, url: str) -> None:
    with pytest.raises(Rejected, match=rf"^SLUICE_{name.upper()} \(or {name}\) is not an address like") as caught:
        page_client(HttpOptions(**{name: SecretStr(url)}))  # type: ignore[arg-type]  # a proxy's name
    assert PASSWORD not in str(caught.value)


def test_an_empty_proxy_is_none() -> None:
    page_client(HttpOptions(None, SecretStr(""), SecretStr("")))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, r"SLUICE_CA_FILE: .*ca\.pem cannot be read: No such file"),
        ("hello", r"SLUICE_CA_FILE: .*ca\.pem contains no certificate"),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            r"HTTPS cannot be set up \(.*BadEncoding\): check .* SLUICE_CA_FILE \(.*ca\.pem\)",
        ),
    ],
)
def test_a_ca_file_without_certificates_is_rejected(tmp_path: Path, content: str | None, why: str) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    with pytest.raises(Rejected, match=why):
        page_client(HttpOptions(file))


def test_every_certificate_of_a_ca_file_counts(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_bytes(CERTIFICATE.read_bytes() + AUTHORITY.read_bytes())
    assert len(module._certificates(file)) == 2


async def test_http_2_is_spoken_where_it_is_offered_and_requests_share_a_connection() -> None:
    speak = http2(("x-count", "7"))
    async with server(speak, tls=server_tls("h2", "http/1.1")) as there, transport(AUTHORITY) as sender:
        await get(sender, there.url)  # a pool that is empty opens a connection for each
        responses = await asyncio.gather(*(get(sender, there.url) for _ in range(8)))
        assert [(each.body, each.headers.get("X-Count", "")) for each in responses] == [(b"page", "7")] * 8
        assert len(there.callers) == 1


async def test_headers_over_the_bound_of_http_2_are_no_answer() -> None:
    speak = http2(("x-long", "x" * module.HTTP2_HEADER_BYTES_MAX))
    async with server(speak, tls=server_tls("h2")) as there, transport(AUTHORITY) as sender:
        with pytest.raises(Retryable, match=r"had no whole answer \(stream error detected"):
            await get(sender, there.url)
