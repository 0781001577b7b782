"""`sluice start`: what is refused before anything is sent, and how the run of a request is found."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from agents.deciders.sync import RETENTION_MS
from service.cli.following import NeverRuns
from service.cli.start import DeadLetterReasons, Request, asked_for, by_reason, start
from service.clock import SystemClock
from service.kafka.dead_letters import StoredDeadLetter
from service.kafka.producer import Place
from service.read_model.progress import RunProgress, Snapshot
from service.status.rows import status_rows
from service.status.sqlite import SqliteStatus
from tables.catalog import read_row
from tests.engine.engine import Engine
from tests.engine.local import MovableClock
from topics.catalog import CHANGELOG
from topics.commands import StartSync
from topics.dead_letters import DeadLetter
from topics.errors import Rejected, Retryable

PLACE = Place("start-sync", 0, 1)
app = typer.Typer()
app.command()(start)


class DeadLetterReader:
    """New burials, each told once."""

    def __init__(self, *letters: StoredDeadLetter) -> None:
        self._dead_letters = list(letters)

    async def new(self) -> Sequence[StoredDeadLetter]:
        told, self._dead_letters = self._dead_letters, []
        return told


def request(place: Place = PLACE, letters: tuple[StoredDeadLetter, ...] = (), now_ms: int = 0, **more: str) -> Request:
    command = StartSync.model_validate({"org": "acme", "adapter": "toy", "type": "full", **more})
    clock = MovableClock(now_ms) if now_ms else MovableClock()
    return Request(asked_for(command, place), DeadLetterReasons(DeadLetterReader(*letters)), clock)


async def publish(store: SqliteStatus, engine: Engine) -> None:
    await store.prepare()
    records = engine.log.records[CHANGELOG]
    await store.publish(status_rows(read_row(record.value) for record in records if record.value))


@pytest.fixture
async def busy(tmp_path: Path) -> tuple[Engine, SqliteStatus]:
    """An engine whose first run meets an API that is down, and where its states are published."""
    engine = Engine()
    engine.source.trouble = lambda ask: Retryable("503 from the API", 100)
    engine.start("first")
    await engine.settle()
    return engine, SqliteStatus(tmp_path / "sluice.db", SystemClock())


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
def test_what_cannot_work_is_a_usage_error(arguments: list[str], reason: str) -> None:
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "300", "TERMINAL_WIDTH": "300"})
    assert (result.exit_code, reason in result.output) == (2, True), result.output


def test_without_a_request_id_the_message_itself_is_the_request() -> None:
    asked = asked_for(StartSync(org="acme", adapter="toy", type="full"), PLACE)
    named = StartSync(org="acme", adapter="toy", type="full", request_id="start-sync/0/1")
    assert (asked.request_id, asked.command_id) == ("start-sync/0/1", named.id)


async def test_a_request_finds_the_run_that_it_started(busy: tuple[Engine, SqliteStatus]) -> None:
    engine, store = busy
    engine.source.trouble = None
    await engine.advance(300)
    engine.start()
    await engine.settle()
    await publish(store, engine)
    assert await request().find(store) == engine.sync().run_id
    assert engine.sync().request == "start-sync/0/1"
    await store.close()


async def test_a_request_of_the_same_name_for_another_organisation_is_not_ours(
    busy: tuple[Engine, SqliteStatus],
) -> None:
    engine, store = busy
    await publish(store, engine)
    assert await request(request_id="first", org="other").find(store) is None
    assert await request(request_id="first").find(store) == engine.sync().run_id
    await store.close()


async def test_a_run_that_nobody_remembers_any_more_is_not_ours(busy: tuple[Engine, SqliteStatus]) -> None:
    engine, store = busy
    engine.source.trouble = None
    await engine.advance(300)
    await publish(store, engine)
    later = engine.clock.now_ms + RETENTION_MS + 1
    assert await request(request_id="first", now_ms=later).find(store) is None
    await store.close()


async def test_an_attached_request_follows_the_run_in_progress(busy: tuple[Engine, SqliteStatus]) -> None:
    engine, store = busy
    engine.start()
    await engine.settle()
    await publish(store, engine)
    assert await request().find(store) == engine.sync().run_id
    await store.close()


async def test_a_queued_request_is_heard_and_waits_for_its_own_run(busy: tuple[Engine, SqliteStatus]) -> None:
    engine, store = busy
    engine.start(on_conflict="queue")
    queued = request(on_conflict="queue")
    await engine.settle()
    await publish(store, engine)
    assert await queued.find(store) is None
    assert (queued.is_heard, queued.state) == (True, f"request start-sync/0/1 queued behind run {engine.sync().run_id}")
    await store.close()


async def test_a_buried_request_never_runs_and_says_why(busy: tuple[Engine, SqliteStatus]) -> None:
    engine, store = busy
    await publish(store, engine)
    letter = DeadLetter("start-sync", 0, 1, 0, "run x is in progress", None, None, ())
    buried = (StoredDeadLetter(letter, 0, 0, 0, 0),)
    with pytest.raises(NeverRuns, match="rejected: run x is in progress"):
        await request(letters=buried).find(store)
    assert await request(Place("start-sync", 0, 2), letters=buried).find(store) is None
    await store.close()


async def test_what_went_wrong_is_said_once_with_the_entities_that_it_met() -> None:
    engine = Engine()
    engine.source.trouble = lambda ask: Rejected("401 Unauthorized")
    engine.start("r1")
    await engine.settle()
    view = RunProgress().view(Snapshot(0.0, engine.clock.now_ms, engine.sync(), ()))
    assert by_reason(view) == {
        "failed: 401 Unauthorized": ["a.guest", "a.house", "a.log"],
        "blocked: a.house failed": ["a.pet", "a.room"],
    }
