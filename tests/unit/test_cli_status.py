"""`sluice status` and `sluice explain` on states that the engine really went through, published to SQLite."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from service.cli.explain import explain
from service.cli.status import status
from service.clock import SystemClock
from service.status.rows import status_rows
from service.status.sqlite import SqliteStatus
from tables.catalog import read_row
from tests.engine.engine import KEY, Engine
from topics.catalog import CHANGELOG
from topics.errors import Rejected, Retryable

app = typer.Typer()
app.command()(status)
app.command()(explain)


async def _published(path: Path) -> None:
    """One run that went well, and one that meets an API that is down."""
    engine = Engine()
    engine.start("went-well")
    await engine.settle()
    engine.clock.advance(60)
    engine.source.trouble = lambda ask: Retryable("503 from the API") if ask.entity.name == "a.house" else None
    engine.start("is-stuck")
    await engine.settle()
    store = SqliteStatus(path, SystemClock())
    await store.prepare()
    records = engine.log.records[CHANGELOG]
    await store.publish(status_rows(read_row(record.value) for record in records if record.value))
    await store.close()


@pytest.fixture
def sink(tmp_path: Path) -> str:
    asyncio.run(_published(tmp_path / "sluice.db"))
    return f"sqlite:///{tmp_path}/sluice.db"


def invoked(sink: str, *arguments: str) -> Result:
    result = CliRunner().invoke(app, arguments, env={"SLUICE_SINK": sink, "COLUMNS": "120"}, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


def told(sink: str, *arguments: str) -> Any:
    return json.loads(invoked(sink, *arguments, "--json").stdout)


def test_status_lists_the_newest_run_first_with_its_trouble(sink: str) -> None:
    runs = told(sink, "status")
    assert [(run["request"], run["status"]) for run in runs] == [("is-stuck", "running"), ("went-well", "done")]
    said = invoked(sink, "status").stdout
    assert "a.house: 503 from the API" in said
    assert said.count(KEY) == 3


@pytest.mark.parametrize("name", ["is-stuck", KEY])
def test_status_of_a_run_shows_its_entities(sink: str, name: str) -> None:
    run = told(sink, "status", name)
    assert (run["request"], run["counts"]) == ("is-stuck", {"retrying": 1, "waiting": 3, "done": 1})
    said = invoked(sink, "status", name).stdout
    assert "a.log" in said
    assert "a.house: tries again now; 503 from the API" in said


def test_status_finds_an_older_run_by_its_id(sink: str) -> None:
    run_id = told(sink, "status", "went-well")["run_id"]
    assert told(sink, "status", run_id)["request"] == "went-well"


def test_status_of_a_run_that_is_not_there_is_an_error(sink: str) -> None:
    with pytest.raises(Rejected, match="no run has the id, workflow or request 'nope'"):
        invoked(sink, "status", "nope")


def test_status_before_anything_was_published_says_how_to_begin(tmp_path: Path) -> None:
    sink = f"sqlite:///{tmp_path}/sluice.db"
    assert "`sluice dev`" in invoked(sink, "status").stdout
    assert told(sink, "status") == []
    assert told(sink, "status", "r1") is None


def test_explain_before_anything_was_published_is_an_error_that_says_how_to_begin(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="`sluice dev`"):
        invoked(f"sqlite:///{tmp_path}/sluice.db", "explain", "r1")


def test_explain_says_what_is_waited_for_and_what_happened(sink: str) -> None:
    said = invoked(sink, "explain", "is-stuck").stdout
    assert "waits for 1 entity: a.house rests before it reads pages 1 to 32 again" in said
    assert "why: 503 from the API" in said
    assert "waits for a.house (hard, retrying)" in said
    assert "request is-stuck started run" in said


def test_explain_tells_programs_the_same(sink: str) -> None:
    facts = told(sink, "explain", "is-stuck")
    assert [reason["entity"] for reason in facts["entities"]] == ["a.house", "a.guest", "a.pet", "a.room"]
    assert facts["entities"][1]["needs"] == [{"entity": "a.pet", "kind": "soft", "phase": "waiting"}]
