"""HTTP clients: the only module that configures pyreqwest (for pages) and httpx on it (for tokens).

Redirects, cookies, automatic unpacking, and proxies that the library would find in the environment are all off.
"""

import re
from dataclasses import dataclass
from datetime import timedelta
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path

import httpx
from pydantic import SecretStr
from pyreqwest.client import Client, ClientBuilder
from pyreqwest.compatibility.httpx import HttpxTransport
from pyreqwest.exceptions import BuilderError
from pyreqwest.http import Url
from pyreqwest.proxy import ProxyBuilder

from agents.concurrency import REQUESTS_PER_CONNECTION_MAX, SOCKETS
from topics.errors import Rejected

VERSION = "0.1.0"
USER_AGENT = f"sluice/{VERSION}"
CONNECT_SECONDS = 10.0  # name, TCP, proxy and TLS
READ_SECONDS = 30.0  # without a byte of the answer
TOTAL_SECONDS = 120.0  # from the connection to the last byte of the body
POOL_SECONDS = 60.0  # until one of SOCKETS is free
IDLE_SECONDS = 30.0  # that an unused connection is kept
HTTP2_HEADER_BYTES_MAX = 65_536
# hyper's own bounds for HTTP/1.1, which cannot be set: hyper/src/proto/h1/io.rs and role.rs, version 1.12.
HTTP1_HEADER_BYTES_MAX = 417_792
HTTP1_HEADERS_MAX = 100
CA_FILE_BYTES_MAX = 4_000_000
LOOPBACK = "localhost,127.0.0.0/8,::1"  # never by a proxy: a proxy would reach itself there

_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


@dataclass(frozen=True, slots=True)
class HttpOptions:
    """The settings of the same names."""

    ca_file: Path | None = None
    https_proxy: SecretStr | None = None
    http_proxy: SecretStr | None = None
    no_proxy: str | None = None


def page_client(options: HttpOptions) -> Client:
    """Keeps connections. Rejected: an option is wrong."""
    return _client(options, REQUESTS_PER_CONNECTION_MAX)


def token_client(options: HttpOptions) -> httpx.AsyncClient:
    """Every request on a connection of its own: on a kept one that the server has just closed, nobody knows whether a
    token was exchanged. Rejected: an option is wrong."""
    return httpx.AsyncClient(
        transport=HttpxTransport(_client(options, idle_per_host_max=0)),
        headers={"user-agent": USER_AGENT, "accept-encoding": "gzip"},
        timeout=None,  # its four would be added up and replace those of the builder
        trust_env=False,
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
    )


def _client(options: HttpOptions, idle_per_host_max: int) -> Client:
    builder = (
        ClientBuilder()
        .user_agent(USER_AGENT)
        .default_headers({"accept-encoding": "gzip"})
        .follow_redirects(False)
        .referer(False)
        .no_proxy()
        .gzip(False)
        .deflate(False)
        .brotli(False)
        .zstd(False)
        .connect_timeout(timedelta(seconds=CONNECT_SECONDS))
        .read_timeout(timedelta(seconds=READ_SECONDS))
        .timeout(timedelta(seconds=TOTAL_SECONDS))
        .pool_timeout(timedelta(seconds=POOL_SECONDS))
        .pool_idle_timeout(timedelta(seconds=IDLE_SECONDS))
        .pool_max_idle_per_host(idle_per_host_max)
        .max_connections(SOCKETS)
        .http2(True)
        .http2_max_header_list_size(HTTP2_HEADER_BYTES_MAX)
    )
    for certificate in _certificates(options.ca_file):
        builder = builder.add_root_certificate_pem(certificate)
    try:
        return _with_proxies(builder, options).build()
    except BuilderError as error:
        reason = error.details["causes"][-1]["message"] if error.details["causes"] else error.message
        raise Rejected(
            f"HTTPS cannot be set up ({reason}): check the system's certificates and SLUICE_CA_FILE ({options.ca_file})"
        ) from None


def _certificates(file: Path | None) -> list[bytes]:
    if file is None:
        return []
    try:
        with file.open("rb") as opened:
            found = _CERTIFICATE.findall(opened.read(CA_FILE_BYTES_MAX))
    except OSError as error:
        raise Rejected(f"SLUICE_CA_FILE: {file} cannot be read: {error.strerror}") from None
    if not found:
        raise Rejected(f"SLUICE_CA_FILE: {file} contains no certificate; it must be a PEM file")
    return found


def _with_proxies(builder: ClientBuilder, options: HttpOptions) -> ClientBuilder:
    direct = f"{LOOPBACK},{options.no_proxy}" if options.no_proxy else LOOPBACK
    for name, make, url in (
        ("HTTPS_PROXY", ProxyBuilder.https, options.https_proxy),
        ("HTTP_PROXY", ProxyBuilder.http, options.http_proxy),
    ):
        if url:  # an empty variable means none, as everywhere
            builder = builder.proxy(make(_proxy_address(name, url)).no_proxy(direct))
    return builder


def _proxy_address(name: str, url: SecretStr) -> Url:
    try:
        address = Url(url.get_secret_value())
    except ValueError:
        address = None
    if address is None or address.scheme not in ("http", "https"):
        raise Rejected(f"SLUICE_{name} (or {name.lower()}) is not an address like http://USER:PASSWORD@HOST:PORT")
    return address
