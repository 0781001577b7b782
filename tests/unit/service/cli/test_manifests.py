"""`sluice manifests`: its output for people and for programs."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from manifests.schema import entity_schema
from service.cli.manifests import app
from topics.errors import Rejected


def printed(*arguments: str) -> str:
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def as_json(*arguments: str) -> Any:
    return json.loads(printed(*arguments, "--json"))


def test_check_counts_the_valid_files() -> None:
    assert "All 65 files are valid." in printed("check")
    assert {each["adapter"]: each["entities"] for each in as_json("check")} == {"pco": 64}


def test_check_rejects_a_directory_with_its_first_bad_file(tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "adapter.yaml").write_text("name: demo\ntitel: Demo\n")
    with pytest.raises(Rejected, match=r"adapter\.yaml:2: titel: there is no such field"):
        printed("check", str(tmp_path))


def test_show_lists_adapters_then_entities() -> None:
    assert "Planning Center" in printed("show")
    assert "services.plan_person" in printed("show", "pco")
    assert len(as_json("show", "pco")) == 64


def test_show_has_everything_about_an_entity() -> None:
    text = printed("show", "pco", "services.plan")
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


def test_show_has_what_is_derived_as_json() -> None:
    facts = as_json("show", "pco", "checkins.event_time")
    assert (facts["hard"], facts["soft"], facts["level"]) == (["checkins.event"], ["checkins.event_period"], 1)
    assert facts["columns"][0] == {"name": "event_id", "type": "text", "source": "relationships.event.data.id"}


def test_show_rejects_an_entity_that_is_not_there() -> None:
    with pytest.raises(Rejected, match=r"adapter pco has no entity 'people\.nobody'"):
        printed("show", "pco", "people.nobody")


def test_graph_goes_level_by_level() -> None:
    text = printed("graph")
    assert text.index("level 0") < text.index("people.campus") < text.index("level 1") < text.index("people.email")
    assert as_json("graph")["groups.membership"]["hard"] == ["groups.group", "people.person"]


def test_graph_is_printed_for_graphviz_and_not_as_json_too() -> None:
    text = printed("graph", "pco", "--dot")
    assert '  "people.email" -> "people.person" [style=solid];' in text
    assert '  "people.person" -> "people.campus" [style=dashed];' in text
    assert CliRunner().invoke(app, ["graph", "--json", "--dot"]).exit_code == 2


def test_schema_prints_what_editors_read() -> None:
    assert printed("schema", "entity") == entity_schema()
