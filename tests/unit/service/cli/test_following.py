"""Following of runs: until they end, through a database that is away, and for requests that never become runs."""

import io
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

import msgspec
import pytest
from rich.console import Console

from service.cli import following
from service.cli.following import Display, NamedRun, NeverRuns, PlainDisplay, follow
from service.cli.progress import Block, Pending
from service.sinks.migrations import NotPrepared
from service.status.store import StatusStore, TimelineEntry
from tables.kinds.entity import EntityState
from tables.kinds.sync import Child, SyncState
from tests.engine.clock import T0, MovableClock
from topics.errors import Rejected, Retryable, SluiceError

READING = {"a.house": Child("running", started_at=T0)}
READ = {"a.house": Child("done", started_at=T0, ended_at=T0 + 9_000, run_id="x@1", pages=2, records=150)}
RUNNING = SyncState("acme", "toy", "full", 1, "r1", T0, children=READING)
DONE = msgspec.structs.replace(RUNNING, status="done", ended_at=T0 + 9_000, children=READ)
UNPREPARED = NotPrepared("the SQLite file x.db is not prepared for this: no such table")


@dataclass
class ScriptedStore:
    """Answers with one step after the other; each look moves the clock."""

    steps: list[SyncState | SluiceError | None]
    clock: MovableClock = field(default_factory=MovableClock)
    seconds: float = 1.0

    async def runs(self, kind: str, name: str = "") -> Sequence[SyncState]:
        self.clock.advance(self.seconds)
        step = self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]
        if isinstance(step, SluiceError):
            raise step
        return [step] if step else []

    async def children(self, run_id: str) -> Sequence[EntityState]:
        return []

    async def timeline(self, workflow: str) -> Sequence[TimelineEntry]:
        return []

    async def prepare(self) -> None: ...

    async def publish(self, rows: object) -> None: ...

    async def close(self) -> None: ...


class Screen:
    """Remembers what was shown."""

    def __init__(self) -> None:
        self.shown: list[tuple[Sequence[Block], str]] = []

    def show(self, blocks: Sequence[Block], notice: str, at: float, now: int) -> None:
        self.shown.append((blocks, notice))

    def texts(self) -> list[str]:
        return [block.text for blocks, _ in self.shown for block in blocks if isinstance(block, Pending)]


class RejectedRequest:
    title, state, is_accepted = "acme", "requested", False

    async def find(self, store: StatusStore) -> str | None:
        raise NeverRuns("rejected: no such adapter")


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "POLL_SECONDS", 0)


async def followed(
    *steps: SyncState | SluiceError | None, seconds: float = 1.0, screen: Display | None = None
) -> following.Followed:
    store = ScriptedStore(list(steps), seconds=seconds)
    [end] = await follow(store, [NamedRun("r1")], store.clock, nullcontext(screen or Screen()))
    return end


async def test_a_run_is_followed_to_its_end() -> None:
    end = await followed(None, RUNNING, RUNNING, DONE)
    assert end.is_done
    assert end.run is not None
    assert end.run.run_id == RUNNING.run_id


async def test_a_run_that_failed_is_not_done() -> None:
    assert not (await followed(msgspec.structs.replace(DONE, status="failed"))).is_done


async def test_a_request_that_never_runs_ends_with_its_reason() -> None:
    store = ScriptedStore([None])
    [end] = await follow(store, [RejectedRequest()], store.clock, nullcontext(Screen()))
    assert (end.run, end.problem, end.is_done) == (None, "rejected: no such adapter", False)


async def test_tables_that_are_not_there_yet_are_waited_for() -> None:
    assert (await followed(UNPREPARED, UNPREPARED, DONE)).is_done


async def test_a_database_that_rejects_us_ends_it() -> None:
    with pytest.raises(Rejected, match="wrong password"):
        await followed(Rejected("wrong password"))


async def test_a_database_that_is_away_for_a_moment_is_waited_for() -> None:
    screen = Screen()
    assert (await followed(RUNNING, Retryable("it restarts"), DONE, screen=screen)).is_done
    assert "the progress cannot be read, the runs continue: it restarts" in [notice for _, notice in screen.shown]


async def test_a_database_that_stays_away_ends_it() -> None:
    with pytest.raises(Retryable, match="it is gone"):
        await followed(RUNNING, Retryable("it is gone"), seconds=100)


async def test_after_half_a_minute_without_a_run_a_possible_cause_is_shown() -> None:
    screen = Screen()
    await followed(*[None] * 40, DONE, screen=screen)
    assert screen.texts()[28] == "has not begun yet"
    assert screen.texts()[32] == f"has not begun yet for 30 s: {following.POSSIBLE_CAUSE}"


async def test_on_a_pipe_each_thing_is_printed_once() -> None:
    output = io.StringIO()
    await followed(None, None, RUNNING, RUNNING, DONE, screen=PlainDisplay(Console(file=output)))
    assert output.getvalue().splitlines() == [
        "r1: has not begun yet",
        "acme a.house started",
        "acme a.house done: 150 records on 2 pages in 9 s",
        "acme toy full done: 1 done; 150 records on 2 pages, 17 records/s, 9 s",
    ]


async def test_on_a_pipe_the_totals_are_printed_every_few_seconds() -> None:
    output = io.StringIO()
    await followed(*[RUNNING] * 12, DONE, screen=PlainDisplay(Console(file=output)))
    assert sum("full running" in line for line in output.getvalue().splitlines()) == 2
