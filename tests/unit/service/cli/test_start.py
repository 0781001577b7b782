"""`sluice start`: invalid arguments, and the run of a request as it is found."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from service.cli.following import NeverRuns
from service.cli.start import Rejections, Request, by_reason, requested, start
from service.kafka.dead_letters import StoredDeadLetter
from service.kafka.producer import RecordPosition
from service.read_model.progress import RunProgress, Snapshot
from service.status.store import TimelineEntry
from tests.engine.clock import MovableClock
from tests.engine.engine import KEY, Engine
from tests.support.published import publish
from topics.catalog import MESSAGE_RETENTION_MS
from topics.dead_letters import DeadLetter
from topics.errors import Rejected, Retryable
from topics.kinds.sync import StartSync

POSITION = RecordPosition("start-sync", 0, 1)
LETTER = DeadLetter("start-sync", 0, 1, 0, "run x is in progress", None, None, ())
app = typer.Typer()
app.command()(start)


class NewDeadLetters:
    """Each new dead letter once."""

    def __init__(self, *letters: StoredDeadLetter) -> None:
        self._letters = letters

    async def new(self) -> Sequence[StoredDeadLetter]:
        new, self._letters = self._letters, ()
        return new


def request(
    position: RecordPosition = POSITION, letters: Sequence[StoredDeadLetter] = (), now_ms: int = 0, **more: str
) -> Request:
    command = StartSync.model_validate({"org": "acme", "adapter": "toy", "type": "full", **more})
    clock = MovableClock(now_ms) if now_ms else MovableClock()
    return Request(requested(command, position), Rejections(NewDeadLetters(*letters)), clock)


@pytest.fixture
async def busy() -> Engine:
    """An engine whose first run reads an API that is down."""
    engine = Engine()
    engine.source.trouble = lambda request: Retryable("503 from the API", 100)
    engine.start("first")
    await engine.settle()
    return engine


async def found_by(sought: Request, engine: Engine, home: Path) -> str | None:
    """The run, as the request finds it in what the engine published."""
    store = await publish(engine, home / "sluice.db")
    try:
        return await sought.find(store)
    finally:
        await store.close()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["nope", "--org", "acme"], "no adapter 'nope'"),
        (["pco", "--org", "acme", "--type", "delta"], "there are: full"),
        (["pco", "--org", "a:b"], "--org 'a:b'"),
        (["pco", "--org", "acme", "--request-id", ""], "--request-id ''"),
        (["pco", "--org", "acme", "--on-conflict", "wait"], "'wait' is not one of"),
        (["pco"], "Missing option"),
        (["pco", *(f"--org=org-{number}" for number in range(51))], "at most 50"),
    ],
)
def test_invalid_arguments_are_a_usage_error(arguments: list[str], reason: str) -> None:
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "300", "TERMINAL_WIDTH": "300"})
    assert (result.exit_code, reason in result.output) == (2, True), result.output


async def test_a_request_without_an_id_finds_the_run_that_its_message_started(busy: Engine, tmp_path: Path) -> None:
    busy.source.trouble = None
    await busy.advance(300)
    busy.start()
    await busy.settle()
    assert await found_by(request(), busy, tmp_path) == busy.sync().run_id
    assert busy.sync().request == "start-sync/0/1"


async def test_a_request_of_the_same_id_for_another_organisation_is_another_one(busy: Engine, tmp_path: Path) -> None:
    assert await found_by(request(request_id="first", org="other"), busy, tmp_path) is None
    assert await found_by(request(request_id="first"), busy, tmp_path) == busy.sync().run_id


async def test_a_run_of_longer_ago_than_workers_remember_is_another_requests(busy: Engine, tmp_path: Path) -> None:
    busy.source.trouble = None
    await busy.advance(300)
    later = busy.clock.now_ms + MESSAGE_RETENTION_MS + 1
    assert await found_by(request(request_id="first", now_ms=later), busy, tmp_path) is None


async def test_an_attached_request_follows_the_run_in_progress(busy: Engine, tmp_path: Path) -> None:
    busy.start()
    await busy.settle()
    assert await found_by(request(), busy, tmp_path) == busy.sync().run_id


async def test_a_queued_request_is_accepted_and_waits_for_its_own_run(busy: Engine, tmp_path: Path) -> None:
    busy.start(on_conflict="queue")
    queued = request(on_conflict="queue")
    await busy.settle()
    first = busy.sync().run_id
    assert await found_by(queued, busy, tmp_path) is None
    assert (queued.is_accepted, queued.state) == (True, f"request start-sync/0/1 queued behind run {first}")
    busy.source.trouble = None
    await busy.advance(300)
    assert await found_by(queued, busy, tmp_path) == busy.sync().run_id != first


async def test_a_run_is_found_by_the_columns_of_the_timeline_and_not_by_its_words() -> None:
    sought = request(request_id="r1")
    at = MovableClock().now() - timedelta(minutes=1)
    entries = [TimelineEntry(2, at, "cause", "request r1 started run x@1", "other", "x@1")]

    async def timeline(workflow: str) -> list[TimelineEntry]:
        assert workflow == KEY
        return entries

    store: Any = SimpleNamespace(timeline=timeline)
    assert (await sought.find(store), sought.is_accepted) == (None, False)
    entries.append(TimelineEntry(1, at, "cause", "in any words", "r1", "x@7"))
    assert (await sought.find(store), sought.state) == ("x@7", "in any words")


async def test_a_rejected_request_never_runs_and_says_why(busy: Engine, tmp_path: Path) -> None:
    letters = [StoredDeadLetter(LETTER, 0, 0, 0, 0)]
    with pytest.raises(NeverRuns, match="rejected: run x is in progress"):
        await found_by(request(letters=letters), busy, tmp_path)
    assert await found_by(request(RecordPosition("start-sync", 0, 2), letters), busy, tmp_path) is None


async def test_the_reasons_of_a_failed_run_are_listed_once_with_the_entities_that_they_met() -> None:
    engine = Engine()
    engine.source.trouble = lambda request: Rejected("401 Unauthorized")
    engine.start("r1")
    await engine.settle()
    view = RunProgress().view(Snapshot(0.0, engine.clock.now_ms, engine.sync(), ()))
    assert {reason: sorted(names) for reason, names in by_reason(view).items()} == {
        "failed: 401 Unauthorized": ["a.guest", "a.house", "a.log"],
        "blocked: a.house failed": ["a.pet", "a.room"],
    }
