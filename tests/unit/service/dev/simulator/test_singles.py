"""The address of a single record: every entity has one, and nothing that is gone."""

import pytest

from service.dev.simulator.catalog import ENTITIES
from service.dev.simulator.store import Organisation
from tests.unit.service.dev.simulator.client import Api

NOT_FOUND = {
    "errors": [{"status": "404", "title": "Not Found", "detail": "The resource you requested could not be found"}]
}


@pytest.fixture(scope="module")
def org() -> Organisation:
    return Organisation("acme", seed=1, people=260)


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.mark.parametrize("name", ENTITIES)
async def test_a_record_has_an_address_of_its_own_until_it_is_deleted(api: Api, org: Organisation, name: str) -> None:
    entity = ENTITIES[name]
    id, record = next(reversed(org.records(name).items()))
    path = org.path(entity, record)
    found = await api.document(path)
    assert (found["data"]["type"], found["data"]["id"]) == (entity.type, id)
    await api.send("POST", "/_sim/delete", json={"org": "acme", "entity": name, "id": id})
    await expect_nothing(api, path)


@pytest.mark.parametrize("name", [name for name, entity in ENTITIES.items() if not entity.is_single])
async def test_a_record_that_never_was_is_not_found(api: Api, org: Organisation, name: str) -> None:
    path = org.path(ENTITIES[name], next(iter(org.records(name).values())))
    await expect_nothing(api, f"{path.rpartition('/')[0]}/999999999")


async def expect_nothing(api: Api, path: str) -> None:
    answer = await api.get(path)
    assert (answer.status_code, answer.json()) == (404, NOT_FOUND)
