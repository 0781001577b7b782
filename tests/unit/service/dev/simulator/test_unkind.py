"""Listings of APIs that page otherwise than one expects."""

from typing import Any, get_args

import pytest

from service.dev.simulator import admin, unkind
from service.dev.simulator.faults import FailureKind, UnkindKind
from tests.unit.service.dev.simulator.client import PEOPLE, Api

PAGE = f"{PEOPLE}?per_page=50"  # of 260 persons: pages at 0, 50, 100, 150, 200 and 250


class UnkindApi(Api):
    async def order(self, name: str, **body: Any) -> None:
        answer = await self.send("POST", f"/_sim/{name}", json=body)
        assert answer.status_code == 200, answer.text

    async def be(self, *kinds: str, **more: Any) -> None:
        """From now on."""
        for kind in kinds:
            await self.order("faults", kind=kind, **more)

    async def page(self, offset: int = 0) -> Any:
        return await self.document(f"{PAGE}&offset={offset}")

    async def ids(self, offset: int = 0) -> list[str]:
        return [row["id"] for row in (await self.page(offset))["data"]]

    async def walk(self, pages: int) -> list[str]:
        """The links of so many pages, each from the one before."""
        links = [PAGE]
        for _ in range(pages):
            links.append((await self.document(links[-1]))["links"].get("next", ""))
            if not links[-1]:
                break
        return [link.rpartition("?")[2] for link in links[1:]]


@pytest.fixture
def api() -> UnkindApi:
    return UnkindApi()


@pytest.mark.parametrize("kind", [*get_args(FailureKind), *get_args(UnkindKind)])
def test_each_kind_is_documented(kind: str) -> None:
    assert f"`{kind}`" in (admin.__doc__ or "")


async def test_a_capped_page_is_followed_by_what_stands_behind_it(api: UnkindApi) -> None:
    everyone = [row["id"] for row in await api.everything(PAGE)]
    await api.be("capped_pages", size=30)
    first = await api.page()
    assert (len(first["data"]), first["meta"]["count"], first["meta"]["next"]) == (30, 30, {"offset": 30})
    assert [row["id"] for row in await api.everything(PAGE)] == everyone
    assert first["links"]["next"].endswith("offset=30&per_page=50")


async def test_a_short_page_hides_records_that_no_other_page_has(api: UnkindApi) -> None:
    await api.be("short_page", size=20, offset=50, requests=1)
    short = await api.page(50)
    assert (len(short["data"]), short["meta"]["next"], short["meta"]["total_count"]) == (20, {"offset": 100}, 260)
    assert len(await api.ids(50)) == 50


@pytest.mark.parametrize(("kinds", "has_next"), [(("empty_page",), True), (("empty_page", "no_next"), False)])
async def test_an_empty_page_once_at_an_offset_contradicts_its_total(
    api: UnkindApi, kinds: tuple[str, ...], has_next: bool
) -> None:
    await api.be(*kinds, offset=100, requests=1)
    assert len(await api.ids(50)) == 50
    empty = await api.page(100)
    assert (empty["data"], empty["meta"]["count"], empty["meta"]["total_count"]) == ([], 0, 260)
    assert ("next" in empty["links"], "next" in empty["meta"]) == (has_next, has_next)
    assert len(await api.ids(100)) == 50


async def test_a_list_may_be_missing_or_null(api: UnkindApi) -> None:
    await api.be("missing_list", requests=1)
    assert await api.page() == {}
    await api.be("null_list", requests=1)
    null = await api.page()
    assert (null["data"], null["meta"]["total_count"]) == (None, 260)


async def test_an_offset_that_is_ignored_is_page_1_with_a_next_page_for_ever(api: UnkindApi) -> None:
    first = await api.ids()
    await api.be("ignores_offset")
    assert await api.ids(5_000) == first
    assert (await api.walk(8))[-1] == "offset=400&per_page=50"


async def test_an_offset_behind_the_end_may_be_the_last_page_again(api: UnkindApi) -> None:
    last = await api.ids(250)
    await api.be("clamps_offset")
    beyond = await api.page(1_000)
    assert [row["id"] for row in beyond["data"]] == last
    assert "next" not in beyond["links"]
    assert await api.ids(50) != last


async def test_no_page_may_name_a_next_one_or_a_total(api: UnkindApi) -> None:
    await api.be("no_next", "no_total")
    page = await api.page()
    assert "next" not in page["links"]
    assert page["meta"].keys() & {"next", "total_count"} == set()
    assert len(page["data"]) == 50


async def test_links_may_lead_in_a_cycle(api: UnkindApi) -> None:
    await api.be("link_cycle", size=3)
    assert [link.split("&")[0] for link in await api.walk(4)] == ["offset=50", "offset=100", "offset=0", "offset=50"]


async def test_a_link_may_lead_to_another_host(api: UnkindApi) -> None:
    await api.be("links_elsewhere")
    link = (await api.page())["links"]["next"]
    assert link == f"http://elsewhere.example{PEOPLE}?offset=50&per_page=50"


async def test_a_link_may_be_longer_than_any_address(api: UnkindApi) -> None:
    await api.be("long_link")
    assert len((await api.page())["links"]["next"]) > 1_200_000


async def test_a_total_may_be_claimed_too_high(api: UnkindApi) -> None:
    await api.be("over_claimed_total", size=7)
    assert (await api.page(250))["meta"]["total_count"] == 267


async def test_a_page_may_hold_millions_of_records(api: UnkindApi) -> None:
    await api.be("many_records")
    body = (await api.get(PAGE)).content
    assert 30_000_000 < len(body) < 32 * 1024 * 1024
    assert body.count(b'"},{"id":"') + 1 == 2_200_000


@pytest.mark.parametrize("order", ["", "&order=-created_at,last_name"])
async def test_behind_a_cursor_nothing_is_missed_or_seen_twice_whatever_moves(api: UnkindApi, order: str) -> None:
    await api.be("cursor")
    page = await api.document(PAGE + order)
    seen, gone = list(page["data"]), page["data"][-1]["id"]
    assert page["meta"].keys() & {"next", "prev"} == set()
    before = {row["id"] for row in await api.everything(PAGE + order)}
    await api.order("delete", org="acme", entity="people.person", id=gone)
    seen += await api.everything(page["links"]["next"])
    assert sorted(row["id"] for row in seen) == sorted(before)


async def test_a_page_token_hides_an_offset_and_misses_a_record_when_one_goes(api: UnkindApi) -> None:
    await api.be("page_token")
    page = await api.document(PAGE)
    assert "offset" not in page["links"]["next"]
    before = [row["id"] for row in await api.everything(PAGE)]
    await api.order("delete", org="acme", entity="people.person", id=before[0])
    rest = [row["id"] for row in await api.everything(page["links"]["next"])]
    assert rest == before[51:]


async def test_a_wait_of_hours_can_be_asked_for(api: UnkindApi) -> None:
    await api.be("rate_limit", retry_after=4 * 3_600, requests=1)
    assert (await api.get(PAGE)).headers["retry-after"] == "14400"


def test_each_kind_changes_something() -> None:
    which_records = {"unlisted", "ignores_filters", "ignores_order"}  # see test_lies
    assert set(get_args(UnkindKind)) == set(unkind._BEFORE) | set(unkind._AFTER) | which_records
