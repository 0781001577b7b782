"""Organisations that live: every kind of change at a rate, late ones, and the account of what a delta cannot see."""

from typing import Any

import pytest

from service.dev.simulator.catalog import ENTITIES
from service.dev.simulator.draw import written
from service.dev.simulator.rates import LifeRates
from service.dev.simulator.store import Organisation
from tests.unit.service.dev.simulator.client import EMAILS, PEOPLE, Api

PERSON, EMAIL, HOUSEHOLD = "people.person", "people.email", "people.household"
EVERYTHING = "expected?org=acme&hidden=include&ids=include"
EVERY_KIND = {
    **{f"{kind}s_per_second": 2 for kind in ("insert", "edit", "delete", "merge", "burst")},
    "invisible_per_second": 2,
    "burst_rows": 5,
}

Row = dict[str, Any]


class LivingApi(Api):
    """The organisation acme lives, by a clock that stands still until it is moved."""

    async def order(self, name: str, **body: Any) -> Any:
        answer = await self.send("POST", f"/_sim/{name}", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def report(self, name: str) -> Any:
        return (await self.get(f"/_sim/{name}")).json()

    async def live(self, **rates: Any) -> None:
        await self.order("life", org="acme", **rates)

    async def stop(self) -> dict[str, dict[str, int]]:
        """What was done, by entity and kind."""
        return dict((await self.order("life/stop"))["orgs"]["acme"])

    async def changes(self) -> Any:
        return await self.report("changes?org=acme")

    async def people(self, query: str = "") -> dict[str, Row]:
        return {row["id"]: row for row in await self.everything(f"{PEOPLE}?per_page=100{query}")}


@pytest.fixture
def api() -> LivingApi:
    return LivingApi()


def done(changes: dict[str, dict[str, int]], kind: str) -> int:
    return sum(of.get(kind, 0) for of in changes.values())


async def test_every_kind_of_change_happens_at_its_rate(api: LivingApi) -> None:
    await api.live(**EVERY_KIND)
    api.clock.advance(30)
    changes = await api.stop()
    for kind in ("insert", "edit", "delete", "merge", "burst", "invisible"):
        assert 45 <= done(changes, kind) <= 60, kind


async def test_at_rest_the_lists_hold_what_is_expected_and_nothing_that_is_gone_has_an_address(api: LivingApi) -> None:
    before = (await api.report(EVERYTHING))["entities"]
    await api.live(**EVERY_KIND)
    api.clock.advance(20)
    await api.stop()
    after, gone = (await api.report(EVERYTHING))["entities"], (await api.changes())["deleted"]
    lost = {name: set(before[name]["ids"]) - set(after[name]["ids"]) for name in ENTITIES}
    merged = set((await api.changes())["merged"])
    assert merged
    assert {name: ids - (merged if name == PERSON else set()) for name, ids in lost.items()} == {
        name: set(gone.get(name, ())) & set(before[name]["ids"]) for name in ENTITIES
    }
    assert (await api.people()).keys() == set(after[PERSON]["ids"])
    for id in (*merged, *gone.get(PERSON, ())):
        assert (await api.get(f"{PEOPLE}/{id}")).status_code == 404


async def test_one_seed_is_one_history_however_often_it_is_looked_at(api: LivingApi) -> None:
    other = LivingApi()
    for one in (api, other):
        await one.live(**EVERY_KIND, late_seconds=1.5, late_share=0.5, seed=7)
    for _ in range(20):
        api.clock.advance(0.5)
        await api.get(PEOPLE)
    other.clock.advance(10)
    assert await api.report(EVERYTHING) == await other.report(EVERYTHING)
    assert await api.changes() == await other.changes()
    assert await api.stop() == await other.stop()


async def test_an_organisation_may_live_from_the_start_on() -> None:
    api = LivingApi(life=LifeRates(inserts_per_second=1, entities=(PERSON,)))
    api.clock.advance(5)
    assert len(await api.people()) == 265
    await api.order("life/stop")
    api.clock.advance(5)
    assert len(await api.people()) == 265


async def test_merged_persons_leave_a_row_each_and_some_are_merged_again(api: LivingApi) -> None:
    await api.live(merges_per_second=1)
    api.clock.advance(60)
    assert await api.stop() == {PERSON: {"merge": 60}}
    merged = (await api.changes())["merged"]
    rows = (await api.document("/people/v2/person_mergers?order=-created_at&per_page=60"))["data"]
    named = {(row["attributes"]["person_to_remove_id"], row["attributes"]["person_to_keep_id"]) for row in rows}
    assert named == set(merged.items())
    assert set(merged) & set(merged.values())
    assert not set(merged) & (await api.people()).keys()


async def test_what_refers_to_a_merged_person_refers_to_the_one_that_is_kept() -> None:
    api = LivingApi(people=600)
    people = (await api.people()).keys()
    await api.live(merges_per_second=2)
    api.clock.advance(60)
    await api.stop()
    referring = {
        "/people/v2/emails": "person",
        "/people/v2/phone_numbers": "person",
        "/people/v2/addresses": "person",
        "/people/v2/notes?include=person": "person",
        "/people/v2/field_data": "customizable",
        "/giving/v2/donations": "person",
        "/check-ins/v2/check_ins": "person",
    }
    left = (await api.people()).keys()
    assert len(people) - len(left) == 120
    for list_, relation in referring.items():
        rows = await api.everything(list_)
        found = [row["relationships"][relation]["data"] for row in rows]
        assert {one["id"] for one in found if one and one["type"] == "Person"} <= left, list_
        assert len(rows) == Organisation("acme", 1, 600).shape.counts[entity_at(list_)]


def entity_at(path: str) -> str:
    segment = path.partition("?")[0].rpartition("/")[2]
    return next(name for name, entity in ENTITIES.items() if entity.segment == segment)


async def test_an_invisible_change_moves_no_updated_at_and_is_counted(api: LivingApi) -> None:
    before = await api.people()
    await api.live(invisible_per_second=1, entities=(PERSON,))
    api.clock.advance(30)
    assert await api.stop() == {PERSON: {"invisible": 30}}
    after = await api.people()
    changed = {id for id, row in after.items() if row != before[id]}
    assert changed
    assert all(times(after[id]) == times(before[id]) for id in after)
    invisible = (await api.changes())["invisible"]
    assert invisible[PERSON]["changes"] == 30
    assert changed <= set(invisible[PERSON]["records"])


def times(row: Row) -> tuple[str, str]:
    return row["attributes"]["created_at"], row["attributes"]["updated_at"]


async def test_a_primary_address_that_stops_being_one_and_a_household_that_a_person_joins_do_not_move(
    api: LivingApi,
) -> None:
    households = "/people/v2/households?per_page=100"
    emails = {row["id"]: row for row in await api.everything(EMAILS)}
    homes = {row["id"]: row for row in await api.everything(households)}
    await api.live(invisible_per_second=5, entities=(EMAIL, HOUSEHOLD, "people.household_membership"))
    api.clock.advance(30)
    await api.stop()
    demoted = [
        row
        for row in await api.everything(EMAILS)
        if emails[row["id"]]["attributes"]["primary"] and not row["attributes"]["primary"]
    ]
    assert any(times(row) == times(emails[row["id"]]) for row in demoted)
    after = await api.everything(households)
    counts = [row for row in after if count(row) != count(homes[row["id"]])]
    assert counts
    assert all(times(row) == times(homes[row["id"]]) for row in after)


def count(row: Row) -> Any:
    return row["attributes"]["member_count"]


async def test_a_record_that_changed_unseen_is_seen_once_it_is_touched(api: LivingApi) -> None:
    id = next(iter(await api.people()))
    change = {"org": "acme", "entity": PERSON, "id": id}
    await api.order("edit", **change, attributes={"nickname": "Bo"}, touch=False)
    assert (await api.changes())["invisible"] == {PERSON: {"changes": 1, "records": [id]}}
    await api.order("edit", **change)
    assert (await api.changes())["invisible"] == {PERSON: {"changes": 1, "records": []}}


async def test_a_late_change_shows_nowhere_before_and_then_with_the_time_at_which_it_happened(api: LivingApi) -> None:
    before = await api.people()
    began = api.clock.now()
    await api.live(inserts_per_second=1, late_seconds=10, entities=(PERSON,), seconds=1)
    api.clock.advance(10.5)
    assert await api.people() == before
    api.clock.advance(1)
    (new,) = (row for id, row in (await api.people()).items() if id not in before)
    api.clock.advance(-10.5)
    assert times(new) == (written(api.clock.now()), written(api.clock.now()))
    assert api.clock.now() > began


async def test_a_late_record_may_have_a_lower_id_than_one_that_showed_before_it(api: LivingApi) -> None:
    before = await api.people()
    await api.live(inserts_per_second=1, late_seconds=30, late_share=0.5, entities=(PERSON,), seconds=20)
    api.clock.advance(25)
    at_once = (await api.people()).keys() - before.keys()
    api.clock.advance(30)
    late = (await api.people()).keys() - before.keys() - at_once
    assert len(at_once) + len(late) == 20
    assert min(map(int, late)) < max(map(int, at_once))


async def test_a_burst_is_many_rows_of_one_second(api: LivingApi) -> None:
    await api.live(bursts_per_second=1, burst_rows=120, entities=(PERSON,), seconds=1)
    api.clock.advance(1)
    now = written(api.clock.now())
    assert len(await api.people(f"&where[updated_at]={now}")) == 120


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ({"org": "beta", "entities": ["people.shoe"]}, "there is no entity 'people.shoe'"),
        ({"edits_per_second": -1}, "greater than or equal to 0"),
        ({}, "acme lives already; stop that first"),
    ],
)
async def test_a_life_that_cannot_be_is_rejected_with_a_sentence(
    api: LivingApi, spec: dict[str, Any], problem: str
) -> None:
    await api.live(edits_per_second=1)
    answer = await api.send("POST", "/_sim/life", json={"org": "acme", **spec})
    assert answer.status_code == 400
    assert problem in answer.json()["error"]


async def test_an_organisation_does_not_live_and_move_at_once(api: LivingApi) -> None:
    move = {"org": "acme", "entity": EMAIL, "inserts_per_second": 1}
    await api.order("move", **move)
    refused = await api.send("POST", "/_sim/life", json={"org": "acme", "edits_per_second": 1})
    assert "entities of acme move already" in refused.json()["error"]
    await api.order("move/stop")
    await api.live(edits_per_second=1)
    refused = await api.send("POST", "/_sim/move", json=move)
    assert "acme lives already" in refused.json()["error"]
