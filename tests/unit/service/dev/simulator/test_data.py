"""Data of the simulator: repeatable, consistent, different for each organisation."""

import pytest

from service.dev.simulator.catalog import EDGES, ENTITIES
from service.dev.simulator.expected import expected
from service.dev.simulator.record import pointers
from service.dev.simulator.schema import SEARCHES
from service.dev.simulator.store import Organisation

NAMES = sorted(ENTITIES)


@pytest.fixture(scope="module")
def org() -> Organisation:
    return Organisation("acme", seed=7, people=1_200)


def test_the_same_seed_gives_the_same_data_in_any_order_of_asking() -> None:
    first = expected(Organisation("acme", 7, 100), NAMES, with_hidden=True)
    again = expected(Organisation("acme", 7, 100), NAMES[::-1], with_hidden=True)
    assert first == again


def test_organisations_and_seeds_differ() -> None:
    hashes = [
        expected(Organisation(name, seed, 100), ["people.email"], with_hidden=True)["people.email"]["sha256"]
        for name, seed in (("acme", 7), ("beta", 7), ("acme", 8))
    ]
    assert len(set(hashes)) == 3


@pytest.mark.parametrize("name", NAMES)
def test_whatever_a_record_points_at_is_there(org: Organisation, name: str) -> None:
    entity = ENTITIES[name]
    assert org.records(name)
    for record in org.records(name).values():
        assert not entity.under or org.find(entity.under, record.parent)
        for relation in entity.relations:
            found = pointers(record, relation.name)
            assert found or not relation.required
            for pointer in found:
                is_there = pointer == org.shape.organization or org.find(relation.to, pointer.id)
                assert is_there or relation.history


@pytest.mark.parametrize("name", NAMES)
def test_what_an_entity_says_it_can_do_exists(name: str) -> None:
    entity = ENTITIES[name]
    related = {f"{relation.name}_id" for relation in entity.relations}
    of_person = set(ENTITIES["people.person"].attributes) if entity.relation("person") else set()
    assert {key.removeprefix("person.") for key in entity.order} <= set(entity.attributes) | of_person
    assert set(entity.where) - {"id", "archive_status", *SEARCHES} <= set(entity.attributes) | related
    assert set(entity.include) <= set(EDGES[name]) | {relation.name for relation in entity.relations if relation.to}
    assert {attribute for attribute, _ in entity.filters.values()} <= set(entity.attributes)
    assert not set(entity.attributes) & {relation.name for relation in entity.relations}


def test_a_merged_away_person_is_not_there(org: Organisation) -> None:
    for merger in org.records("people.person_merger").values():
        assert org.find("people.person", merger.attributes.person_to_remove_id) is None
        assert org.find("people.person", merger.attributes.person_to_keep_id)


def test_a_household_counts_and_names_its_members(org: Organisation) -> None:
    edge = EDGES["people.household"]["household_memberships"]
    for household in org.records("people.household").values():
        members = [pointer for child in org.children(edge, household.id) for pointer in pointers(child, "person")]
        assert household.attributes.member_count == len(members)
        assert list(pointers(household, "people")) == members


def test_more_rows_than_a_page_share_a_second(org: Organisation) -> None:
    times = [record.attributes.updated_at for record in org.records("people.person").values()]
    assert max(times.count(at) for at in set(times)) > 100


def test_some_parents_have_more_children_than_a_page_and_some_have_none(org: Organisation) -> None:
    parents = [record.parent for record in org.records("groups.membership").values()]
    assert max(parents.count(parent) for parent in set(parents)) > 100
    assert len(set(parents)) < len(org.records("groups.group"))


def test_an_organisation_of_12000_people_has_over_40000_records() -> None:
    shape = Organisation("acme", 1, 12_000).shape
    assert sum(shape.counts.values()) >= 40_000
    parents = ("people.household", "groups.group", "groups.event", "giving.donation", "services.plan")
    assert sum(shape.counts[name] for name in parents) < 1_000
