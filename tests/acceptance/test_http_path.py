"""The way to an API as settings describe it: TLS by a private authority, through a forward proxy."""

import json
from pathlib import Path

import pytest
from pydantic import SecretStr

from service.settings import read_settings
from tests.support.forward_proxy import forward_proxy, join
from tests.support.installation import installation
from tests.support.kafka import LiveBroker
from tests.support.loopback import AUTHORITY, Caller, answer, saying, server, server_tls
from tests.support.pages import read_page

PAGE = answer(b'{"data": [{"id": "1"}]}')
ORG = ("--org", "acme", "--no-rate-limit", "--people", "40")


async def test_a_page_takes_the_proxy_of_its_scheme_and_trusts_the_authority(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with (
        server(saying(PAGE)) as plain,
        server(saying(PAGE), tls=server_tls()) as tls,
        forward_proxy({"plain.test": plain.port, "api.test": tls.port}) as proxy,
    ):
        (tmp_path / "proxy").write_text(proxy.url)
        variables = {"CONNECTIONS": tmp_path / "c.yaml", "CA_FILE": AUTHORITY, "HTTPS_PROXY": f"file:{tmp_path}/proxy"}
        for name, value in variables.items():
            monkeypatch.setenv(f"SLUICE_{name}", str(value))
        monkeypatch.setenv("http_proxy", proxy.url)
        for base_url in ("http://plain.test", "https://api.test"):
            page = await read_page(read_settings(), base_url)
            assert page is not None
            assert page.records == 1
    assert proxy.asked[0].startswith("GET http://plain.test/people/v2/emails?")
    assert proxy.asked[1:] == ["CONNECT api.test:443 HTTP/1.1"]


@pytest.mark.kafka
async def test_a_sync_over_tls_through_a_proxy_has_every_row(broker: LiveBroker, tmp_path: Path) -> None:
    simulator: list[int] = []

    async def end_tls(caller: Caller) -> None:
        await join(simulator[0], b"", caller)

    async with (
        server(end_tls, tls=server_tls()) as tls,
        forward_proxy({"api.test": tls.port}) as proxy,
        installation(
            broker,
            tmp_path,
            None,
            *ORG,
            base_url="https://api.test",
            ca_file=AUTHORITY,
            https_proxy=SecretStr(proxy.url),
        ) as made,
    ):
        simulator.append(made.simulator_port)
        await made.produce("start-sync", json.dumps({"org": "acme", "adapter": "pco", "type": "full"}).encode())
        await made.complete("acme")
    assert set(proxy.asked) == {"CONNECT api.test:443 HTTP/1.1"}
