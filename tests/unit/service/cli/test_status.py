"""`sluice status`, `explain` and `retry` on states that the engine really went through, published to SQLite."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from service.cli import retry as retrying
from service.cli.explain import explain
from service.cli.retry import retry
from service.cli.status import status
from tests.engine.engine import KEY, Engine
from tests.support.published import publish
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


def invoked(sink: str, *arguments: str) -> Result:
    result = CliRunner().invoke(app, arguments, env={"SLUICE_SINK": sink, "COLUMNS": "120"}, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


def as_json(sink: str, *arguments: str) -> Any:
    return json.loads(invoked(sink, *arguments, "--json").stdout)


def test_status_lists_the_newest_run_first_with_its_trouble(sink: str) -> None:
    runs = as_json(sink, "status")
    assert [(run["request"], run["status"]) for run in runs] == [("is-stuck", "running"), ("went-well", "done")]
    printed = invoked(sink, "status").stdout
    assert "a.house: 503 from the API" in printed
    assert printed.count(KEY) == 3


@pytest.mark.parametrize("name", ["is-stuck", KEY])
def test_status_of_a_run_shows_its_entities(sink: str, name: str) -> None:
    run = as_json(sink, "status", name)
    assert (run["request"], run["counts"]) == ("is-stuck", {"retrying": 1, "waiting": 3, "done": 1})
    printed = invoked(sink, "status", name).stdout
    assert "a.log" in printed
    assert "a.house: tries again now; 503 from the API" in printed


def test_status_finds_an_older_run_by_its_id(sink: str) -> None:
    run_id = as_json(sink, "status", "went-well")["run_id"]
    assert as_json(sink, "status", run_id)["request"] == "went-well"


@pytest.mark.parametrize("name", ["status", "explain", "retry"])
def test_a_run_that_is_not_there_is_an_error(sink: str, name: str) -> None:
    with pytest.raises(Rejected, match="no run has the id, workflow or request 'nope'"):
        invoked(sink, name, "nope")


def test_status_before_anything_was_published_says_how_to_begin(tmp_path: Path) -> None:
    sink = f"sqlite:///{tmp_path}/sluice.db"
    assert "`sluice dev`" in invoked(sink, "status").stdout
    assert as_json(sink, "status") == []
    assert as_json(sink, "status", "r1") is None


@pytest.mark.parametrize("name", ["explain", "retry"])
def test_before_anything_was_published_the_others_are_an_error_that_says_how_to_begin(
    tmp_path: Path, name: str
) -> None:
    with pytest.raises(Rejected, match="`sluice dev`"):
        invoked(f"sqlite:///{tmp_path}/sluice.db", name, "r1")


def test_explain_says_what_is_waited_for_and_what_happened(sink: str) -> None:
    printed = invoked(sink, "explain", "is-stuck").stdout
    assert "waits for 1 entity: a.house backs off before it reads pages 1 to 32 again" in printed
    assert "reason: 503 from the API" in printed
    assert "waits for a.house (hard, retrying)" in printed
    assert "request is-stuck started run" in printed


def test_explain_says_the_same_as_json(sink: str) -> None:
    facts = as_json(sink, "explain", "is-stuck")
    assert [reason["entity"] for reason in facts["entities"]] == ["a.house", "a.guest", "a.pet", "a.room"]
    assert facts["entities"][1]["needs"] == [{"entity": "a.pet", "kind": "soft", "phase": "waiting"}]


def test_retry_sends_the_run_a_request_of_the_given_id(sink: str, produced: list[Command]) -> None:
    run_id = as_json(sink, "status", "is-stuck")["run_id"]
    printed = invoked(sink, "retry", "is-stuck", "--request-id", "r7").stdout
    assert produced == [RetryNow(workflow=KEY, request_id="r7")]
    assert printed == f"retried {run_id} (request r7)\n"
    assert as_json(sink, "retry", run_id, "--request-id", "r7") == {"run": run_id, "request": "r7"}


def test_retry_without_an_id_is_another_request_each_time(sink: str, produced: list[Command]) -> None:
    requests = [as_json(sink, "retry", "is-stuck")["request"] for _ in range(2)]
    assert requests[0] != requests[1]
    assert produced == [RetryNow(workflow=KEY, request_id=request) for request in requests]


def test_a_run_that_has_ended_is_not_retried(sink: str, produced: list[Command]) -> None:
    with pytest.raises(Rejected, match="has ended \\(done\\): there is nothing to retry"):
        invoked(sink, "retry", "went-well")
    assert produced == []
