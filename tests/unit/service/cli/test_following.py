"""Following of requests: the run of each as it is found, until it ends, and through a database that is away."""

import io
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from rich.console import Console

from service.cli import following
from service.cli.following import Followed, Rejections, Request, Show, display_for, follow, requested
from service.cli.progress import Board, Pending
from service.kafka.dead_letters import StoredDeadLetter
from service.kafka.producer import RecordPosition
from service.sinks.migrations import NotPrepared
from service.status.store import TimelineEntry
from tables.kinds.sync import Child, SyncState
from tests.engine.clock import T0, MovableClock
from tests.engine.engine import Engine
from tests.support.published import publish
from topics.catalog import MESSAGE_RETENTION_MS
from topics.dead_letters import DeadLetter
from topics.errors import Rejected, Retryable, SluiceError
from topics.kinds.sync import StartSync

READING = {"a.house": Child("running", started_at=T0)}
READ = {"a.house": Child("done", started_at=T0, ended_at=T0 + 9_000, run_id="x@1", pages=2, records=150)}
RUNNING = SyncState("acme", "toy", "full", 1, "start-sync/0/1/5", T0, children=READING)
DONE = msgspec.structs.replace(RUNNING, status="done", ended_at=T0 + 9_000, children=READ)
UNPREPARED = NotPrepared("the SQLite file x.db is not prepared for this: no such table")
POSITION = RecordPosition("start-sync", 0, 1, 5)
LETTER = StoredDeadLetter(DeadLetter("start-sync", 0, 1, 0, "run x is in progress", None, None, ()), 0, 0, 0, 0)


def request(
    clock: MovableClock,
    position: RecordPosition = POSITION,
    letters: Sequence[StoredDeadLetter] = (),
    journal: str = "",
    **more: str,
) -> Request:
    unread = list(letters)

    async def new() -> Sequence[StoredDeadLetter]:
        return [unread.pop() for _ in letters[: len(unread)]]

    command = StartSync.model_validate({"org": "acme", "adapter": "toy", "type": "full", **more})
    return Request(requested(command, position), Rejections(new), clock, journal)


def last(engine: Engine) -> RecordPosition:
    """The position of the start that was sent last."""
    record = engine.log("start-sync")[-1]
    return RecordPosition(record.topic, record.partition, record.offset, record.timestamp)


async def followed(
    *steps: SyncState | SluiceError | None, seconds: float = 1.0, show: Show = lambda board: None
) -> Followed:
    """The end of a request whose store answers with one step after the other; each answer moves the clock."""
    clock, left = MovableClock(), list(steps)

    async def runs(*_: object) -> list[SyncState]:
        clock.advance(seconds)
        step = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(step, SluiceError):
            raise step
        return [step] if step else []

    async def timeline(workflow: str) -> list[TimelineEntry]:
        return [TimelineEntry(1, clock.now(), "", "", run.request, run.run_id) for run in await runs()]

    async def children(run_id: str) -> tuple[()]:
        return ()

    async def missing() -> dict[str, list[str]]:
        return {}

    store: Any = SimpleNamespace(runs=runs, timeline=timeline, children=children, missing=missing)
    [end] = await follow(store, [request(clock)], clock, show)
    return end


async def found_by(sought: Request, engine: Engine, home: Path) -> str:
    """The run, as the request finds it in what the engine published; its problem or its state if there is none."""
    store = await publish(engine, home / "sluice.db")
    try:
        await sought.look(store)
    finally:
        await store.close()
    return sought.block.text if isinstance(sought.block, Pending) else sought.block.run_id


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "POLL_SECONDS", 0)


@pytest.fixture
async def busy() -> Engine:
    """An engine whose first run reads an API that is down."""
    engine = Engine()
    engine.source.trouble = lambda request: Retryable("503 from the API", 100)
    engine.start("first")
    await engine.settle()
    return engine


async def repaired(engine: Engine) -> Engine:
    engine.source.trouble = None
    await engine.advance(300)
    return engine


async def test_a_run_is_followed_to_its_end() -> None:
    end = await followed(None, RUNNING, RUNNING, DONE)
    assert (end.is_done, end.run and end.run.run_id) == (True, RUNNING.run_id)
    assert not (await followed(msgspec.structs.replace(DONE, status="failed"))).is_done


async def test_tables_that_are_not_there_yet_are_waited_for() -> None:
    assert (await followed(UNPREPARED, UNPREPARED, DONE)).is_done


async def test_a_database_that_is_away_for_a_moment_is_waited_for() -> None:
    boards: list[Board] = []
    assert (await followed(RUNNING, Retryable("it restarts"), DONE, show=boards.append)).is_done
    assert "the progress cannot be read, the runs continue: it restarts" in [board.notice for board in boards]


@pytest.mark.parametrize(("error", "seconds"), [(Rejected("wrong password"), 1.0), (Retryable("it is gone"), 100.0)])
async def test_a_database_that_rejects_us_or_stays_away_ends_it(error: SluiceError, seconds: float) -> None:
    with pytest.raises(type(error), match=str(error)):
        await followed(RUNNING, error, seconds=seconds)


async def test_after_half_a_minute_without_a_run_a_possible_cause_is_shown() -> None:
    boards: list[Board] = []
    await followed(*[None] * 40, DONE, show=boards.append)
    texts = [block.text for board in boards for block in board.blocks if isinstance(block, Pending)]
    assert texts[28] == "requested, not accepted yet"
    assert texts[32] == f"requested, not accepted yet for 30 s: {following.POSSIBLE_CAUSE}"


async def printed(*steps: SyncState | None) -> list[str]:
    output = io.StringIO()
    with display_for(Console(file=output)) as show:
        await followed(*steps, show=show)
    return output.getvalue().splitlines()


async def test_on_a_pipe_each_thing_is_printed_once() -> None:
    assert await printed(None, None, RUNNING, RUNNING, DONE) == [
        "acme  toy full: requested, not accepted yet",
        "acme a.house started",
        "acme a.house done: 150 records on 2 pages in 9 s",
        "acme toy full done: 1 done; 150 records on 2 pages, 17 records/s, 9 s",
    ]


async def test_on_a_pipe_the_totals_are_printed_every_few_seconds() -> None:
    assert sum("full running" in line for line in await printed(*[RUNNING] * 13, DONE)) == 2


async def test_a_request_without_an_id_finds_the_run_that_its_message_started(busy: Engine, tmp_path: Path) -> None:
    await repaired(busy)
    busy.start()
    await busy.settle()
    assert await found_by(request(busy.clock, last(busy)), busy, tmp_path) == busy.sync().run_id
    assert busy.sync().request == last(busy).message_name


async def test_a_run_of_another_organisation_or_a_forgotten_id_is_another_requests(
    busy: Engine, tmp_path: Path
) -> None:
    later = MovableClock(busy.clock.now_ms + MESSAGE_RETENTION_MS + 1)
    for other in (request(busy.clock, request_id="first", org="other"), request(later, request_id="first")):
        assert await found_by(other, busy, tmp_path) == "requested, not accepted yet"
    assert await found_by(request(busy.clock, request_id="first"), busy, tmp_path) == busy.sync().run_id


async def test_an_attached_request_follows_the_run_in_progress(busy: Engine, tmp_path: Path) -> None:
    busy.start()
    await busy.settle()
    assert await found_by(request(busy.clock, last(busy)), busy, tmp_path) == busy.sync().run_id


async def test_a_queued_request_is_accepted_and_waits_for_its_own_run(busy: Engine, tmp_path: Path) -> None:
    busy.start(on_conflict="queue")
    queued = request(busy.clock, last(busy), on_conflict="queue")
    await busy.settle()
    first = busy.sync().run_id
    assert await found_by(queued, busy, tmp_path) == f"request {last(busy).message_name} queued behind run {first}"
    assert await found_by(queued, await repaired(busy), tmp_path) == busy.sync().run_id != first


async def test_a_run_is_found_by_the_columns_of_the_timeline_and_not_by_its_words() -> None:
    sought = request(MovableClock(), request_id="r1")
    entries = [TimelineEntry(2, MovableClock().now(), "cause", "request r1 started run x@1", "other", "x@1")]

    async def timeline(workflow: str) -> list[TimelineEntry]:
        return entries

    async def runs(*_: object) -> list[SyncState]:
        return []

    store: Any = SimpleNamespace(timeline=timeline, runs=runs)
    await sought.look(store)
    assert sought.block == Pending("acme  toy full", "requested, not accepted yet")
    entries.append(TimelineEntry(1, MovableClock().now(), "cause", "in any words", "r1", "x@7"))
    await sought.look(store)
    assert sought.block == Pending("acme  toy full", "in any words")


async def test_the_same_request_in_a_journal_that_is_gone_is_no_answer() -> None:
    sought = request(MovableClock(), journal="new")

    async def timeline(workflow: str) -> list[TimelineEntry]:
        return [TimelineEntry(1, MovableClock().now(), "cause", "started", "start-sync/0/1", "x@1", "old")]

    store: Any = SimpleNamespace(timeline=timeline)
    await sought.look(store)
    assert sought.block == Pending("acme  toy full", "requested, not accepted yet")


async def test_a_rejected_request_never_runs_and_says_why(busy: Engine, tmp_path: Path) -> None:
    rejected = request(busy.clock, letters=[LETTER])
    assert await found_by(rejected, busy, tmp_path) == "rejected: run x is in progress"
    assert (rejected.has_ended, rejected.followed.run, rejected.followed.is_done) == (True, None, False)
    other = request(busy.clock, RecordPosition("start-sync", 0, 2, 6), [LETTER])
    assert await found_by(other, busy, tmp_path) == "requested, not accepted yet"
