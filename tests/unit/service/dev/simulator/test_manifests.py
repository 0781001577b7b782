"""What the manifests of Planning Center read is what the simulated API shows to a request like theirs."""

import re
from urllib.parse import urlencode

import pytest

from manifests.entity import BRACES, Entity, columns, is_one
from manifests.loader import load_packaged
from service.dev.simulator.catalog import ENTITIES
from service.dev.simulator.store import Organisation
from tests.unit.service.dev.simulator.client import Api

PCO = load_packaged().adapter("pco").entities


@pytest.fixture(scope="module")
def api() -> Api:
    return Api()


@pytest.fixture(scope="module")
def org() -> Organisation:
    return Organisation("acme", seed=1, people=260)


def collection(org: Organisation, entity: Entity) -> str:
    """The path of the records beside the first one, or that of a single one."""
    simulated = ENTITIES[entity.name]
    path = org.path(simulated, next(iter(org.records(entity.name).values())))
    return path if is_one(entity) else path.rpartition("/")[0]


def test_both_know_the_same_entities() -> None:
    assert set(PCO) == set(ENTITIES)


@pytest.mark.parametrize("name", PCO)
async def test_every_column_has_a_place_in_what_is_served(api: Api, org: Organisation, name: str) -> None:
    entity = PCO[name]
    path = collection(org, entity)
    assert re.fullmatch(BRACES.sub("[^/]+", entity.path), path)
    document = await api.document(f"{path}?{urlencode(entity.reads.full.query)}")
    for record in [document["data"]] if is_one(entity) else document["data"]:
        for column in columns(entity):
            place = record
            for part in column.source.split(".") if column.source else ():
                assert part in place, column
                place = place[part] or {}
                if not place:
                    break


@pytest.mark.parametrize("name", PCO)
async def test_every_delta_is_one_that_the_listing_says_it_can(api: Api, org: Organisation, name: str) -> None:
    delta = PCO[name].reads.delta
    if delta is None:
        return
    meta = (await api.document(collection(org, PCO[name])))["meta"]
    field = delta.field.rpartition(".")[2]
    needed = {"where-and-order": "qo", "where": "q", "order": "o", "append": "o"}[delta.by]
    assert "q" not in needed or field in meta["can_query_by"]
    assert "o" not in needed or field in meta["can_order_by"]
