"""The source against hostile pages: what they may cost everybody else, and where their links may lead."""

import asyncio
import json
import random
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from agents.ports import FetchRequest, PageBody
from manifests.entity import Adapter, Body
from service.api.client import ApiClient
from service.api.connections import read_connections
from service.api.source import ApiSource
from tests.support.adapters import adapter, entity
from tests.support.http import MemoryTransport, MovedClock
from topics.errors import Rejected, Retryable

MEGABYTES = 31
STALL_SECONDS_MAX = 3.0  # a third of a session, on a machine with other work to do; hostile pages took over 10 s
TICK_SECONDS = 0.005
BASE = "https://api.example.org"
PEOPLE = entity("a.person", paging={"style": "link", "size": 50}, fields={"name": {"type": "text", "from": "name"}})
TOY = adapter(PEOPLE)
BODY = Body(records="data", next="links.next", total="meta.total")
ADAPTER = Adapter(file=TOY.file.model_copy(update={"body": BODY}), entities=TOY.entities)


def source(tmp_path: Path, answer: Callable[[httpx.Request], bytes]) -> ApiSource:
    clock = MovedClock()
    transport = MemoryTransport(lambda request: httpx.Response(200, content=answer(request)))
    client = ApiClient(clock, random.Random(7), tmp_path, {}, transport, clock.sleep)
    file = tmp_path / "connections.yaml"
    file.write_text(f'"*/toy": {{base_url: "{BASE}", auth: {{kind: none}}}}\n')
    return ApiSource(client, read_connections(file))


async def fetch(api: ApiSource, page: int = 1, link: str | None = None) -> PageBody:
    body = await api.fetch(FetchRequest("acme", ADAPTER, PEOPLE, page, size=50, link=link))
    assert body is not None
    return body


async def longest_stall(until: "asyncio.Task[object]") -> float:
    longest, last = 0.0, time.perf_counter()
    while not until.done():
        await asyncio.sleep(TICK_SECONDS)
        longest, last = max(longest, time.perf_counter() - last), time.perf_counter()
    return longest


def filled(one: bytes, start: bytes = b'{"data":[', end: bytes = b"]}", megabytes: int = MEGABYTES) -> bytes:
    return start + b",".join([one] * (megabytes * 1_000_000 // (len(one) + 1))) + end


PERSON = json.dumps({"id": "1", "attributes": {f"field_{n}": "x" * 60 for n in range(41)}}).encode()


@pytest.mark.parametrize(
    ("body", "ends"),
    [
        pytest.param(filled(b'{"id":123456}'), "has more than 10,000 records at data", id="tiny_records"),
        pytest.param(filled(b"{}"), "has more than 10,000 records at data", id="empty_records"),
        pytest.param(filled(PERSON), "", id="ten_thousand_records"),
        pytest.param(filled(filled(b"{}", b'{"id":"1","a":[', megabytes=1)), "", id="records_of_countless_values"),
        pytest.param(filled(b"1", b'{"data":[{"id":"1","a":['), "is not JSON", id="not_closed"),
        pytest.param(filled(rb'{"id":"\ud800"}'), "is not JSON", id="not_unicode"),
        pytest.param(filled(b'{"id":1e999}', megabytes=7), "is not JSON|records at data", id="out_of_range"),
        pytest.param(filled(b'"k":1', b"{", b',"data":[]}'), "", id="countless_fields"),
        pytest.param(filled(b"<br>", b"<head ", b"</html>"), "is not JSON", id="html"),
        pytest.param(b'{"data":[' + b"[" * 30_000_000, "is not JSON", id="nested_without_end"),
        pytest.param(
            b'{"data":[],"links":{"next":"' + b"x" * 1_200_000 + b'"}}',
            r"has 1,200,002 bytes: it is neither",
            id="an_endless_link",
        ),
    ],
)
async def test_a_hostile_body_holds_up_nobody_else(
    tmp_path: Path, body: bytes, ends: str, record_property: Callable[[str, object], None]
) -> None:
    reading = asyncio.create_task(fetch(source(tmp_path, lambda request: body)))
    stall = await longest_stall(reading)
    print(f"longest stall of a body of {len(body) / 1e6:.1f} MB: {stall:.3f} s")
    record_property("longest_stall_seconds", stall)
    if ends:
        with pytest.raises((Rejected, Retryable), match=ends):
            await reading
    else:
        page = await reading
        assert page.records == len(page.rows) + len(page.rejected) <= 10_000
    assert stall < STALL_SECONDS_MAX


def next_of(link: str) -> Callable[[httpx.Request], bytes]:
    return lambda request: json.dumps({"data": [{"id": "1"}], "links": {"next": link}}).encode()


@pytest.mark.parametrize(
    ("link", "why"),
    [
        ("https://evil.example.org/a/person", "leads to https://evil.example.org, not to the connection's host"),
        (f"{BASE}/a/person?cursor=b&per_page=50", "leads to the page that it stands on"),
        ("?per_page=50&cursor=b", "leads to the page that it stands on"),
        (f"{BASE}/a/person?per_page=50", "leads back to the first page"),
        ("/a/person?per%5Fpage=50", "leads back to the first page"),
    ],
)
async def test_a_link_that_leads_away_or_back_fails_the_page_that_names_it(tmp_path: Path, link: str, why: str) -> None:
    api = source(tmp_path, next_of(link))
    with pytest.raises(Rejected, match=why):
        await fetch(api, 2, "/a/person?per_page=50&cursor=b")


async def test_a_link_that_leads_on_is_followed(tmp_path: Path) -> None:
    api = source(tmp_path, next_of("/a/person?per_page=50&cursor=c"))
    assert (await fetch(api, 2, "/a/person?per_page=50&cursor=b")).next == "/a/person?per_page=50&cursor=c"
