"""`sluice manifests`: what people and programs are told."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from manifests.schema import entity_schema
from service.cli.manifests import app
from topics.errors import Rejected


def said(*arguments: str) -> str:
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def told(*arguments: str) -> Any:
    return json.loads(said(*arguments, "--json"))


def test_check_counts_what_is_in_order() -> None:
    assert "All 50 files are in order." in said("check")
    assert {each["adapter"]: each["entities"] for each in told("check")} == {"pco": 49}


def test_check_refuses_a_directory_with_its_first_bad_file(tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "adapter.yaml").write_text("name: demo\ntitel: Demo\n")
    with pytest.raises(Rejected, match=r"adapter\.yaml:2: titel: there is no such field"):
        said("check", str(tmp_path))


def test_show_lists_adapters_then_entities() -> None:
    assert "Planning Center" in said("show")
    assert "services.plan_person" in said("show", "pco")
    assert len(told("show", "pco")) == 49


def test_show_tells_everything_about_an_entity() -> None:
    text = said("show", "pco", "services.plan")
    for part in (
        "/services/v2/service_types/{id}/plans",
        "X-PCO-API-Version=2018-11-01",
        "services.service_type, kept in service_type_id",
        "services.item services.plan_person",
        "where-and-order attributes.updated_at",
        "pco_services_plan",
        "attributes.series_title",
    ):
        assert part in text


def test_show_tells_programs_what_is_derived() -> None:
    facts = told("show", "pco", "checkins.event_time")
    assert (facts["hard"], facts["soft"], facts["level"]) == (["checkins.event"], ["checkins.event_period"], 1)
    assert facts["columns"][0] == {"name": "event_id", "type": "text", "source": "relationships.event.data.id"}


def test_show_refuses_an_entity_that_is_not_there() -> None:
    with pytest.raises(Rejected, match=r"adapter pco has no entity 'people\.nobody'"):
        said("show", "pco", "people.nobody")


def test_graph_goes_level_by_level() -> None:
    text = said("graph")
    assert text.index("level 0") < text.index("people.campus") < text.index("level 1") < text.index("people.email")
    assert told("graph")["groups.membership"]["hard"] == ["groups.group", "people.person"]


def test_graph_speaks_to_graphviz() -> None:
    text = said("graph", "pco", "--dot")
    assert '  "people.email" -> "people.person" [style=solid];' in text
    assert '  "people.person" -> "people.campus" [style=dashed];' in text


def test_graph_has_one_language_at_a_time() -> None:
    assert CliRunner().invoke(app, ["graph", "--json", "--dot"]).exit_code == 2


def test_schema_prints_what_editors_read() -> None:
    assert said("schema", "entity") == entity_schema()
