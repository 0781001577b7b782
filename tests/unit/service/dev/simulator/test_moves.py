"""Sources that move by themselves, and the lives of their records."""

from typing import Any

import pytest

from service.dev.simulator import lives
from tests.unit.service.dev.simulator.client import EMAILS, PEOPLE, Api

PERSON = "people.person"
PAGES = f"{PEOPLE}?per_page=100"


class MovingApi(Api):
    """Organisations whose persons move, by a clock that stands still until it is moved."""

    async def order(self, name: str, **body: Any) -> Any:
        answer = await self.send("POST", f"/_sim/{name}", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def move(self, org: str = "acme", entity: str = PERSON, **rates: float) -> None:
        await self.order("move", org=org, entity=entity, **rates)

    async def stop(self) -> Any:
        return (await self.order("move/stop"))["orgs"]

    async def ids(self, org: str = "acme") -> list[str]:
        rows = await self.everything(PAGES, auth=(org, f"secret-{org}"))
        return [row["id"] for row in rows]

    async def lives(self) -> dict[str, list[float | None]]:
        answer = await self.get(f"/_sim/lives?org=acme&entity={PERSON}")
        return dict(answer.json()["records"])


@pytest.fixture
def api() -> MovingApi:
    return MovingApi()


async def test_records_come_at_the_end_and_any_go_as_time_passes(api: MovingApi) -> None:
    before = await api.ids()
    await api.move(inserts_per_second=2, deletes_per_second=1)
    assert await api.ids() == before
    api.clock.advance(10)
    after = await api.ids()
    assert len(set(before) - set(after)) == 10
    assert after[250:] == sorted(set(after) - set(before), key=int)
    assert len(after) == 270


async def test_a_page_that_was_served_before_is_not_served_again_after_a_move(api: MovingApi) -> None:
    first = (await api.document(EMAILS))["meta"]["total_count"]
    await api.move(entity="people.email", inserts_per_second=1)
    api.clock.advance(1)
    assert (await api.document(EMAILS))["meta"]["total_count"] == first + 1


async def test_edits_move_updated_at_to_the_time_of_the_edit(api: MovingApi) -> None:
    await api.move(edits_per_second=1)
    api.clock.advance(3)
    rows = await api.everything(f"{PAGES}&order=-updated_at")
    latest = [row["attributes"]["updated_at"] for row in rows[:4]]
    assert latest[:3] == ["2026-06-01T00:00:03Z", "2026-06-01T00:00:02Z", "2026-06-01T00:00:01Z"]
    assert latest[3] < "2026-06-01"


async def test_one_seed_is_one_history_however_often_it_is_looked_at(api: MovingApi) -> None:
    other = MovingApi()
    for one in (api, other):
        await one.move(inserts_per_second=3, deletes_per_second=7, seed=5)
    for _ in range(20):
        api.clock.advance(0.5)
        await api.ids()
    other.clock.advance(10)
    assert await api.ids() == await other.ids()
    assert await api.lives() == await other.lives()


async def test_lives_say_when_each_record_came_and_went(api: MovingApi) -> None:
    before, began = await api.ids(), api.clock.now().timestamp()
    await api.move(inserts_per_second=1, deletes_per_second=0.5)
    api.clock.advance(4)
    found, after = await api.lives(), await api.ids()
    assert {id: times for id, times in found.items() if times != [None, None]}.keys() == set(before) ^ set(after)
    assert sorted(born for born, _ in found.values() if born) == [began + n for n in (1, 2, 3, 4)]
    assert sorted(died for _, died in found.values() if died) == [began + n for n in (2, 4)]


async def test_lives_know_the_writes_of_a_person_and_what_goes_with_a_record(api: MovingApi) -> None:
    email = (await api.document(EMAILS))["data"][0]
    person = email["relationships"]["person"]["data"]["id"]
    await api.order("delete", org="acme", entity=PERSON, id=person)
    now = api.clock.now().timestamp()
    assert (await api.lives())[person] == [None, now]
    answer = await api.get("/_sim/lives?org=acme&entity=people.email")
    assert answer.json()["records"][email["id"]] == [None, now]


async def test_it_ends_after_its_seconds_or_when_it_is_stopped(api: MovingApi) -> None:
    await api.move(inserts_per_second=1, seconds=5)
    await api.move("beta", inserts_per_second=1)
    api.clock.advance(8)
    assert await api.stop() == {"acme": {PERSON: {"insert": 5}}, "beta": {PERSON: {"insert": 8}}}
    api.clock.advance(8)
    assert (len(await api.ids()), len(await api.ids("beta"))) == (265, 268)


async def test_it_ends_when_nothing_is_left_to_go_and_when_no_more_lives_are_kept(
    api: MovingApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.move(deletes_per_second=2_000)
    api.clock.advance(1)
    assert await api.ids() == []
    await api.stop()
    monkeypatch.setattr(lives, "ENTRIES_MAX", 265)
    await api.move(inserts_per_second=1)
    api.clock.advance(100)
    assert len(await api.ids()) == 5
    refused = await api.send("POST", "/_sim/insert", json={"org": "acme", "entity": PERSON})
    assert "265 records have come and gone" in refused.json()["error"]


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ({"entity": "people.household"}, "people.household stands above or below other records"),
        ({"entity": PERSON, "inserts_per_second": 2_001}, "less than or equal to 2000"),
        ({"entity": PERSON, "seconds": 100_000}, "less than or equal to 7200"),
        ({"entity": PERSON}, "people.person of acme moves already; stop that first"),
    ],
)
async def test_a_movement_that_cannot_be_is_rejected_with_a_sentence(
    api: MovingApi, spec: dict[str, Any], problem: str
) -> None:
    await api.move(inserts_per_second=1)
    answer = await api.send("POST", "/_sim/move", json={"org": "acme", **spec})
    assert answer.status_code == 400
    assert problem in answer.json()["error"]
