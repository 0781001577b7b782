"""`sluice status`, `explain` and `retry` on states that the engine really went through, published to SQLite."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from agents.kinds import SYNC
from service.cli import retry as retrying
from service.cli.explain import explain
from service.cli.retry import retry
from service.cli.status import status
from service.clock import SystemClock
from service.read_model.times import now_ms
from service.settings import Settings
from service.status import open_status
from service.status.rows import StatusRows
from tests.engine.engine import KEY, Engine
from tests.support.published import publish
from topics.catalog import DAY_MS
from topics.command import Command, RetryNow
from topics.errors import Rejected, Retryable

app = typer.Typer()
for command in (status, explain, retry):
    app.command()(command)


async def _published(path: Path) -> None:
    """One run that is done, and one that reads an API that is down."""
    engine = Engine()
    engine.start("went-well")
    await engine.settle()
    engine.clock.advance(60)
    engine.source.trouble = lambda request: Retryable("503 from the API") if request.entity.name == "a.house" else None
    engine.start("is-stuck")
    await engine.settle()
    await (await publish(engine, path)).close()


@pytest.fixture
def sink(tmp_path: Path) -> str:
    asyncio.run(_published(tmp_path / "sluice.db"))
    return f"sqlite:///{tmp_path}/sluice.db"


@pytest.fixture
def produced(monkeypatch: pytest.MonkeyPatch) -> list[Command]:
    """The commands written to Kafka."""
    written: list[Command] = []

    async def produce(settings: Any, clock: Any, catalog: Any, commands: Sequence[Command], sent_by: str) -> None:
        written.extend(commands)

    monkeypatch.setattr(retrying, "produce", produce)
    return written


async def _lose_rows(sink: str) -> None:
    """Of every entity of the first run, as if the database had been restored since."""
    store = open_status(Settings(sink=sink), SystemClock())
    (first,) = await store.runs(SYNC.name, "went-well")
    await store.publish(StatusRows((), ()), 1, (), [run.run_id for run in await store.children(first.run_id)])
    await store.close()


def printed(sink: str, *arguments: str) -> str:
    result = CliRunner().invoke(app, arguments, env={"SLUICE_SINK": sink, "COLUMNS": "120"}, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def as_json(sink: str, *arguments: str) -> Any:
    return json.loads(printed(sink, *arguments, "--json"))


def test_status_lists_the_newest_run_first_with_its_trouble(sink: str) -> None:
    runs = as_json(sink, "status")
    assert [(run["request"], run["status"]) for run in runs] == [("is-stuck", "running"), ("went-well", "done")]
    text = printed(sink, "status")
    assert "a.house: 503 from the API" in text
    assert text.count(KEY) == 3


def test_status_finds_a_run_by_workflow_request_or_id_and_shows_its_entities(sink: str) -> None:
    for name in ("is-stuck", KEY, as_json(sink, "status", "is-stuck")["run_id"]):
        run = as_json(sink, "status", name)
        assert (run["request"], run["counts"]) == ("is-stuck", {"retrying": 1, "waiting": 3, "done": 1})
    text = printed(sink, "status", KEY)
    assert "a.log" in text
    assert "a.house: tries again now; 503 from the API" in text
    assert as_json(sink, "status", as_json(sink, "status", "went-well")["run_id"])["request"] == "went-well"


def test_status_names_the_entities_whose_rows_the_database_lost_and_that_were_not_read_again(sink: str) -> None:
    asyncio.run(_lose_rows(sink))
    run_id = as_json(sink, "status", "went-well")["run_id"]
    said = "rows of a.guest, a.house, a.pet, a.room are missing until the next full sync"
    assert f"{run_id}: the database was restored, or lost commits, since: {said}" in printed(sink, "status")
    assert said in printed(sink, "status", "went-well")
    assert [run["missing"] for run in as_json(sink, "status")] == [[], ["a.guest", "a.house", "a.pet", "a.room"]]


@pytest.mark.parametrize("name", ["status", "explain", "retry"])
def test_a_run_that_is_not_there_is_an_error(sink: str, name: str) -> None:
    with pytest.raises(Rejected, match="no run has the id, workflow or request 'nope'"):
        printed(sink, name, "nope")


@pytest.mark.parametrize("name", ["status", "explain", "retry"])
def test_a_run_that_is_older_than_the_retention_is_said_to_be_removed(sink: str, name: str) -> None:
    old = f"{KEY}@{now_ms(SystemClock()) - 40 * DAY_MS}"
    with pytest.raises(Rejected, match=r"began 40 d ago, and ended runs are removed after 30 days"):
        printed(sink, name, old)
    with pytest.raises(Rejected, match="no run has the id"):
        printed(sink, name, f"{KEY}@{now_ms(SystemClock()) - 20 * DAY_MS}")


def test_before_anything_was_published_each_says_how_to_begin(tmp_path: Path) -> None:
    sink = f"sqlite:///{tmp_path}/sluice.db"
    assert "`sluice dev`" in printed(sink, "status")
    assert (as_json(sink, "status"), as_json(sink, "status", "r1")) == ([], None)
    for name in ("explain", "retry"):
        with pytest.raises(Rejected, match="`sluice dev`"):
            printed(sink, name, "r1")


def test_explain_says_what_is_waited_for_and_what_happened(sink: str) -> None:
    text = printed(sink, "explain", "is-stuck")
    assert "waits for 1 entity: a.house backs off before it reads pages 1 to 32 again" in text
    assert "3 more can start after those" in text
    assert "reason: 503 from the API" in text
    assert "waits for a.house (hard, retrying)" in text
    facts = as_json(sink, "explain", "is-stuck")
    assert [reason["entity"] for reason in facts["entities"]] == ["a.house", "a.guest", "a.pet", "a.room"]
    assert facts["entities"][1]["needs"] == [{"entity": "a.pet", "kind": "soft", "phase": "waiting"}]
    started = f"request is-stuck started run {facts['run_id']}"
    assert started in text
    assert started in [entry["event"] for entry in facts["timeline"]]


def test_retry_sends_the_run_a_request_of_the_given_id_or_of_a_new_one(sink: str, produced: list[Command]) -> None:
    run_id = as_json(sink, "status", "is-stuck")["run_id"]
    assert printed(sink, "retry", "is-stuck", "--request-id", "r7") == f"retried {run_id} (request r7)\n"
    assert as_json(sink, "retry", run_id, "--request-id", "r7") == {"run": run_id, "request": "r7"}
    requests = [as_json(sink, "retry", "is-stuck")["request"] for _ in range(2)]
    assert requests[0] != requests[1]
    assert produced == [RetryNow(workflow=KEY, request_id=request) for request in ("r7", "r7", *requests)]


def test_a_run_that_has_ended_is_not_retried(sink: str, produced: list[Command]) -> None:
    with pytest.raises(Rejected, match="has ended \\(done\\): there is nothing to retry"):
        printed(sink, "retry", "went-well")
    assert produced == []
