"""An API that lies: permissions that go, lists without some of their records, ignored filters, a wrong clock."""

from datetime import timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from service.dev.simulator.draw import written
from service.dev.simulator.faults import FaultSpec
from tests.unit.service.dev.simulator.client import EMAILS, PEOPLE, Api

PERSON, EMAIL = "people.person", "people.email"
MINUTE = 60


class LyingApi(Api):
    async def order(self, name: str, **body: Any) -> Any:
        answer = await self.send("POST", f"/_sim/{name}", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def lie(self, kind: str, **more: Any) -> None:
        """From now on."""
        await self.order("faults", kind=kind, **more)

    async def be_honest(self) -> None:
        await self.order("faults/clear")

    async def one(self) -> str:
        """The address of a record that is there."""
        return f"{EMAILS}/{(await self.document(EMAILS))['data'][0]['id']}"

    async def statuses(self, *urls: str, **request: Any) -> list[int]:
        return [(await self.get(url, **request)).status_code for url in urls]


@pytest.fixture
def api() -> LyingApi:
    return LyingApi()


@pytest.mark.parametrize(("kind", "status"), [("forbidden", 403), ("unauthorized", 401), ("not_found", 404)])
@pytest.mark.parametrize("on", ["lists", "records", "all"])
async def test_one_entitys_lists_or_records_or_both_may_be_refused_for_a_while(
    api: LyingApi, kind: str, status: int, on: str
) -> None:
    one = await api.one()
    await api.lie(kind, entity=EMAIL, on=on)
    lists, records = status if on != "records" else 200, status if on != "lists" else 200
    assert await api.statuses(EMAILS, f"{EMAILS}?offset=25", one, PEOPLE) == [lists, lists, records, 200]
    await api.be_honest()
    assert await api.statuses(EMAILS, one) == [200, 200]


async def test_a_refusal_has_the_words_of_a_real_one(api: LyingApi) -> None:
    missing = (await api.get(f"{PEOPLE}/1")).content
    await api.lie("not_found", requests=1)
    assert (await api.get(PEOPLE)).content == missing
    await api.lie("unauthorized")
    denied = await api.get(PEOPLE)
    assert (denied.text, denied.headers["www-authenticate"]) == (
        "HTTP Basic: Access denied.\n",
        'Basic realm="Application"',
    )


async def test_a_bearer_of_a_token_that_was_taken_away_is_refused_in_json(api: LyingApi) -> None:
    application = {"client_id": "simulator-app", "client_secret": "secret-simulator-app"}
    grant = {"grant_type": "authorization_code", "code": "code-acme", **application}
    token = (await api.send("POST", "/oauth/token", json=grant)).json()["access_token"]
    await api.lie("unauthorized")
    denied = await api.get(PEOPLE, auth=None, headers={"authorization": f"Bearer {token}"})
    assert (denied.status_code, denied.json()["errors"][0]["code"]) == (401, "unauthorized")


async def test_lists_may_be_empty_all_of_a_sudden_while_records_are_served(api: LyingApi) -> None:
    one = await api.one()
    await api.lie("no_permission", entity=EMAIL, on="lists")
    page = await api.document(EMAILS)
    assert (page["data"], page["meta"]["total_count"]) == ([], 0)
    assert await api.statuses(one) == [200]


async def test_a_parents_only_record_is_refused_as_a_list_and_as_a_record(api: LyingApi) -> None:
    group = (await api.document("/groups/v2/groups"))["data"][0]["links"]["self"]
    for on in ("lists", "records"):
        await api.lie("forbidden", entity="groups.enrollment", on=on, requests=1)
        assert await api.statuses(f"{group}/enrollment") == [403]


async def test_half_of_the_records_may_be_in_no_list_though_each_is_served(api: LyingApi) -> None:
    every = [row["id"] for row in await api.everything(f"{PEOPLE}?per_page=100")]
    await api.lie("unlisted", entity=PERSON)
    page = await api.document(f"{PEOPLE}?per_page=25")
    listed = [row["id"] for row in await api.everything(f"{PEOPLE}?per_page=25")]
    assert 80 < len(listed) < 180
    assert page["meta"]["total_count"] == len(listed)
    assert listed == [id for id in every if id in set(listed)]
    assert set(await api.statuses(*(f"{PEOPLE}/{id}" for id in every[:20]))) == {200}
    assert listed == [row["id"] for row in await api.everything(f"{PEOPLE}?per_page=100")]


async def test_no_record_is_listed_or_only_few_are_left_out(api: LyingApi) -> None:
    await api.lie("unlisted", size=100, requests=1)
    assert (await api.document(PEOPLE))["meta"]["total_count"] == 0
    await api.lie("unlisted", size=5)
    assert 230 < (await api.document(PEOPLE))["meta"]["total_count"] < 260


async def test_filters_and_orders_may_be_ignored_without_a_word(api: LyingApi) -> None:
    newest = f"{PEOPLE}?order=-updated_at&where[updated_at][gte]=2022-06-01"
    honest = await api.document(newest)
    assert honest["meta"]["total_count"] < 260
    await api.lie("ignores_filters")
    unfiltered = await api.document(newest)
    assert unfiltered["meta"]["total_count"] == 260
    assert unfiltered["meta"]["can_query_by"] == honest["meta"]["can_query_by"]
    assert unfiltered["data"] == honest["data"]
    assert "where[updated_at][gte]=2022-06-01" in unfiltered["links"]["next"]
    await api.lie("ignores_order")
    ids = [int(row["id"]) for row in (await api.document(newest))["data"]]
    assert ids == sorted(ids)


async def test_one_lie_may_end_while_another_does_not(api: LyingApi) -> None:
    await api.lie("forbidden", entity=EMAIL)
    await api.lie("forbidden", entity=PERSON)
    await api.lie("unlisted", entity=PERSON)
    await api.order("faults/clear", kind="forbidden", entity=PERSON)
    left = (await api.get("/_sim/faults")).json()["faults"]
    assert [(fault["kind"], fault["entity"]) for fault in left] == [("forbidden", EMAIL), ("unlisted", PERSON)]


async def test_it_may_lie_from_the_start_on() -> None:
    api = LyingApi(faults=(FaultSpec(kind="forbidden", entity=EMAIL),), clock_error_seconds=90)
    assert await api.statuses(EMAILS, PEOPLE) == [403, 200]
    assert (await api.get(PEOPLE)).headers["date"] == "Mon, 01 Jun 2026 00:01:30 GMT"


@pytest.mark.parametrize("error", [-90 * MINUTE, 0, 5 * MINUTE])
async def test_a_wrong_clock_is_in_the_date_and_in_the_times_of_what_is_written(api: LyingApi, error: int) -> None:
    await api.order("clock", org="acme", seconds=error)
    at = api.clock.now() + timedelta(seconds=error)
    answer = await api.get(PEOPLE)
    assert answer.headers["date"] == format_datetime(at, usegmt=True)
    id = answer.json()["data"][0]["id"]
    await api.order("edit", org="acme", entity=PERSON, id=id)
    made = await api.order("insert", org="acme", entity=PERSON)
    for url in (f"{PEOPLE}/{id}", made["path"]):
        assert (await api.document(url))["data"]["attributes"]["updated_at"] == written(at)
    other = await api.get(PEOPLE, auth=("beta", "secret-beta"))
    assert other.headers["date"] == "Mon, 01 Jun 2026 00:00:00 GMT"
    lives = (await api.get(f"/_sim/lives?org=acme&entity={PERSON}")).json()
    assert lives["records"][made["id"]] == [api.clock.now().timestamp(), None]


async def test_a_wrong_clock_is_in_the_times_of_what_happens_by_itself_and_what_clients_write(api: LyingApi) -> None:
    await api.order("clock", seconds=-10)
    await api.order("life", org="acme", bursts_per_second=1, seconds=1, burst_rows=3, entities=[PERSON])
    api.clock.advance(1)
    newest = (await api.document(f"{PEOPLE}?order=-updated_at"))["data"]
    assert [row["attributes"]["updated_at"] for row in newest[:3]] == ["2026-05-31T23:59:51Z"] * 3
    body = {"data": {"type": "Person", "attributes": {"first_name": "Bo"}}}
    made = (await api.send("POST", PEOPLE, json=body)).json()["data"]["attributes"]
    assert made["created_at"] == "2026-05-31T23:59:51Z"


@pytest.mark.parametrize("insert", [True, False])
async def test_a_burst_has_one_second_for_all_its_rows(api: LyingApi, insert: bool) -> None:
    at = "2026-05-20T10:00:00Z"
    ids = (await api.order("burst", org="acme", entity=PERSON, rows=150, at=at, insert=insert))["ids"]
    rows = await api.everything(f"{PEOPLE}?per_page=100&where[updated_at]={at}")
    assert [row["id"] for row in rows] == ids
    assert len(ids) == 150
    assert (await api.document(PEOPLE))["meta"]["total_count"] == (410 if insert else 260)
