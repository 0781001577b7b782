"""The manifests that Sluice comes with: complete, in order, and true to what is known of the APIs."""

from pathlib import Path

import pytest

import manifests
from manifests.entity import Adapter, columns, path_columns
from manifests.graph import plan
from manifests.loader import load_packaged

PACKAGE = Path(manifests.__file__).parent
PCO: Adapter = load_packaged().adapter("pco")
VERSIONS = {
    "people": ("/people/v2/", "2025-11-10"),
    "groups": ("/groups/v2/", "2023-07-10"),
    "checkins": ("/check-ins/v2/", "2025-05-28"),
    "giving": ("/giving/v2/", "2019-10-18"),
    "services": ("/services/v2/", "2018-11-01"),
    "calendar": ("/calendar/v2/", "2022-07-07"),
}
HARD = {
    "people.field_definition": {"people.tab"},
    "people.email": {"people.person"},
    "people.phone_number": {"people.person"},
    "people.address": {"people.person"},
    "people.field_datum": {"people.field_definition"},
    "people.household_membership": {"people.household", "people.person"},
    "groups.group": set(),
    "groups.membership": {"groups.group", "people.person"},
    "groups.event": {"groups.group"},
    "giving.designation": {"giving.donation", "giving.fund"},
    "giving.refund": {"giving.donation"},
    "giving.pledge": {"giving.pledge_campaign"},
    "people.form_submission": {"people.form"},
    "people.list_result": {"people.list"},
    "people.workflow_card": {"people.workflow"},
    "groups.event_note": {"groups.event"},
    "groups.enrollment": {"groups.group"},
    "groups.location": {"groups.group"},
    "checkins.event_time": {"checkins.event"},
    "checkins.check_in": {"checkins.event_period"},
    "calendar.event_instance": {"calendar.event"},
    "calendar.resource_booking": {"calendar.event_instance", "calendar.resource"},
}
SOFT = {
    "groups.group": {"groups.group_type"},
    "people.person": {"people.campus"},
    "people.household": {"people.person"},
    "people.workflow_card": {"people.person"},
    "people.field_datum": {"people.person"},
    "people.person_merger": {"people.person"},
    "checkins.check_in": {"people.person"},
    "giving.donation": {"people.person", "people.campus", "giving.batch", "giving.recurring_donation"},
}


def test_planning_center_has_64_entities_of_six_products() -> None:
    assert len(PCO.entities) == 64
    assert set(PCO.file.products) == set(VERSIONS)


@pytest.mark.parametrize("name", PCO.entities)
def test_each_entity_stands_below_its_product_in_its_version(name: str) -> None:
    prefix, version = VERSIONS[name.partition(".")[0]]
    entity = PCO.entities[name]
    assert entity.path.startswith(prefix)
    assert entity.headers == {"X-PCO-API-Version": version}
    assert entity.title


def test_a_child_of_a_child_names_both_ancestors() -> None:
    entity = PCO.entities["services.plan_person"]
    assert entity.path == "/services/v2/service_types/{service_type_id}/plans/{id}/team_members"
    assert path_columns(entity) == ("service_type_id",)


@pytest.mark.parametrize("name", sorted({*HARD, *SOFT}))
def test_an_entity_waits_hard_for_what_it_makes_no_sense_without_and_soft_for_what_may_dangle(name: str) -> None:
    needs = plan(PCO)[name]
    assert set(needs.hard) == HARD.get(name, set(needs.hard))
    assert set(needs.soft) == SOFT.get(name, set(needs.soft))


def test_ids_of_others_are_text_and_counts_and_cents_integers() -> None:
    for entity in PCO.entities.values():
        for column in columns(entity):
            if column.name.endswith("_id") and column.name != "remote_id":
                assert column.type == "text", (entity.name, column.name)
            if column.name.endswith(("_cents", "_count")):
                assert column.type == "integer", (entity.name, column.name)


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.yaml")), ids=lambda path: path.stem)
def test_each_file_names_its_schema_for_editors(path: Path) -> None:
    first = path.read_text().partition("\n")[0]
    schema = first.removeprefix("# yaml-language-server: $schema=")
    expected = "adapter.schema.json" if path.name == "adapter.yaml" else "schema.json"
    assert (path.parent / schema).resolve() == PACKAGE / expected
