"""The cleaner on real databases: what it removes, what it never removes, and what may happen at the same time."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from typing import Any

import asyncpg
import msgspec
import pytest

from agents.kinds import SHIPPED, SYNC
from agents.ports import RejectedRecord
from service.settings import RETENTION_DAYS_MIN, Settings
from service.sinks import open_sink, sqlite_path
from service.sinks.sink import SqlSink
from service.status import cleaner, open_status
from service.status.cleaner import Cleaner
from service.status.rows import StatusRows, status_rows
from service.status.store import StatusStore
from tables.kinds.entity import EntityState
from tables.kinds.sync import SyncState
from tables.row import Row
from tests.engine.clock import T0, MovableClock
from tests.sinks.builders import FENCED, adapter, close_run, commit, open_lease, page, row, run, write
from tests.sinks.conftest import KINDS, Database
from tests.support.past import JOURNAL, Past, fill_postgres, fill_sqlite
from tests.support.published import journal_record
from topics.catalog import DAY_MS
from topics.command import Counts

pytestmark = pytest.mark.parametrize("url", KINDS[:2], indirect=True)

DAYS = 30
PAST = Past(T0, orgs=2, syncs=60, entities=2, events=3)
FENCES = "select number from sluice_runs order by number"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cleaner, "PAUSE_SECONDS", 0)
    monkeypatch.setattr(cleaner, "BATCH_ROWS", 20)


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock(T0)


@pytest.fixture
async def store(url: str, clock: MovableClock) -> AsyncIterator[StatusStore]:
    opened = open_status(Settings(sink=url), clock)
    await opened.prepare()
    yield opened
    await opened.close()


@pytest.fixture
async def sink(url: str, clock: MovableClock) -> AsyncIterator[SqlSink]:
    opened = open_sink(url, clock)
    await opened.prepare(adapter())
    yield opened
    await opened.close()


class Killed(BaseException):
    """The process ends here."""


class Dying:
    """A store whose process is killed after so many batches."""

    def __init__(self, store: StatusStore, batches: int) -> None:
        self._store = store
        self._batches = batches

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def remove(self, *arguments: Any) -> int:
        self._batches -= 1
        if self._batches < 0:
            raise Killed
        return await self._store.remove(*arguments)


def made(store: Any, clock: MovableClock, days: int = DAYS) -> Cleaner:
    return Cleaner(store, SHIPPED.kinds, days, clock, lambda: True)


async def fill(url: str, *pasts: Past) -> None:
    path = sqlite_path(url)
    for past in pasts:
        if path is None:
            await fill_postgres(url, past)
        else:
            await asyncio.to_thread(fill_sqlite, path, past)


async def publish(store: StatusStore, *states: SyncState | EntityState, epoch: int = 1, journal: int = JOURNAL) -> None:
    rows = [Row[Any](epoch=epoch, seq=state.run, state=state) for state in states]
    await store.publish(status_rows(SHIPPED, [journal_record(one) for one in rows]), journal)


async def happen(store: StatusStore, clock: MovableClock) -> None:
    """An entry of a timeline from now: the database knows the time, too."""
    past = Past(clock.now_ms + DAY_MS, orgs=1, syncs=1, entities=0, events=1)
    await store.publish(StatusRows((), tuple(past.rows("sluice_timeline"))), JOURNAL)


def states(number: int) -> list[SyncState | EntityState]:
    """A sync of PAST, and its entities."""
    sync = PAST.sync(0, number)
    return [sync, *PAST.entity_runs(sync)]


async def count(database: Database, table: str) -> int:
    ((rows,),) = await database.query(f"select count(*) from {table}")
    return int(rows)


async def counted(database: Database) -> tuple[int, int, int]:
    """Published runs, timeline entries, fences."""
    return (
        await count(database, "sluice_workflow_runs"),
        await count(database, "sluice_timeline"),
        await count(database, "sluice_runs"),
    )


def left(days: int, kept: int = 0) -> tuple[int, int, int]:
    """What so many days leave of PAST, and the entry of now. `kept` runs of each workflow stay whatever their age."""
    syncs = PAST.orgs * max(days, kept)
    runs = syncs * (1 + PAST.entities)
    return runs, PAST.orgs * days * (1 + PAST.entities) * PAST.events + 1, syncs * PAST.entities


async def test_what_is_older_than_the_retention_is_removed(
    store: StatusStore, clock: MovableClock, url: str, database: Database
) -> None:
    await fill(url, PAST)
    await happen(store, clock)
    await made(store, clock).clean()
    assert await counted(database) == left(DAYS)
    assert [state.run for state in await store.runs(SYNC.name, PAST.sync(0, 0).key)][-1] == PAST.sync(0, 30).run


async def test_the_newest_run_of_each_workflow_stays_for_ever_and_its_fence_holds(
    store: StatusStore, sink: SqlSink, clock: MovableClock, url: str, database: Database
) -> None:
    await fill(url, PAST)
    clock.advance(1_000 * DAY_MS / 1000)
    await happen(store, clock)
    await made(store, clock).clean()
    runs, _, fences = left(0, kept=1)
    assert (await counted(database))[::2] == (runs, fences)
    (newest,) = await store.runs(SYNC.name, PAST.sync(1, 0).key)
    assert newest == PAST.sync(1, PAST.syncs - 1)
    await write(sink, run(2), row("1"))
    await close_run(sink, run(2), "done")
    clock.advance(1_000 * DAY_MS / 1000)
    await happen(store, clock)
    await made(store, clock).clean()
    assert not (await open_lease(sink, run(1))).is_open
    assert await commit(sink, page(run(1), 1, row("2"))) == [FENCED]
    assert await close_run(sink, run(2), "done") == Counts(1, 1)


async def test_the_newest_complete_run_stays_behind_newer_ones_that_failed(
    store: StatusStore, sink: SqlSink, clock: MovableClock, database: Database
) -> None:
    for number, outcome in enumerate(("done", "failed", "done", "cancelled", "failed"), 1):
        await open_lease(sink, run(number))
        await close_run(sink, run(number), outcome)  # type: ignore[arg-type]  # a literal
    clock.advance(31 * DAY_MS / 1000)
    await happen(store, clock)
    await made(store, clock).clean()
    assert await database.query(FENCES) == [(3,), (5,)]


async def test_the_newest_run_is_one_of_the_newest_journal_whose_epochs_began_anew(
    store: StatusStore, clock: MovableClock
) -> None:
    newest = PAST.sync(0, 1)
    await publish(store, PAST.sync(0, 0), epoch=900)
    await publish(store, newest, journal=JOURNAL + 1)
    clock.advance(1_000 * DAY_MS / 1000)
    await happen(store, clock)
    await made(store, clock).clean()
    assert await store.runs(SYNC.name) == [newest]


async def test_a_run_that_has_not_ended_stays(
    store: StatusStore, sink: SqlSink, clock: MovableClock, database: Database
) -> None:
    running = msgspec.structs.replace(PAST.sync(0, 0), status="running", ended_at=0)
    await publish(store, running)
    await write(sink, run(1), row("1"))
    clock.advance(1_000 * DAY_MS / 1000)
    await happen(store, clock)
    await made(store, clock).clean()
    assert await store.runs(SYNC.name) == [running]
    assert await commit(sink, page(run(1), 2, row("2"))) != [FENCED]


async def test_the_ledger_of_a_run_that_a_newer_one_replaced_is_removed_with_it(
    store: StatusStore, sink: SqlSink, clock: MovableClock, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cleaner, "LINES_MAX", 5)
    await open_lease(sink, run(1))
    await commit(sink, *(page(run(1), number) for number in range(1, 13)))
    await write(sink, run(2), row("1"))
    clock.advance(31 * DAY_MS / 1000)
    await happen(store, clock)
    for lines in (8, 3, 1):  # the last one is the open run's
        await made(store, clock).clean()
        assert await count(database, "sluice_pages") == lines
    assert await database.query(FENCES) == [(2,)]


@pytest.mark.parametrize(
    ("later", "is_kept"),
    [("nothing", True), ("failed", True), ("done", False), ("open", True), ("other", True), ("repeated", True)],
)
async def test_a_rejection_stands_until_a_later_complete_run_of_the_entity_has_not_repeated_it(
    store: StatusStore, sink: SqlSink, clock: MovableClock, database: Database, later: str, is_kept: bool
) -> None:
    refused = [RejectedRecord("7", "no id", "{}"), RejectedRecord("", "no id", "{}")]
    await write(sink, run(9), rejected=refused)
    await close_run(sink, run(9), "done")
    clock.advance(DAY_MS / 1000)
    newer = run(10, org="other" if later == "other" else "acme")
    if later != "nothing":
        await open_lease(sink, newer)
    if later == "repeated":
        await commit(sink, page(newer, 1, rejected=refused))
    if later in ("failed", "done", "other", "repeated"):
        await close_run(sink, newer, "failed" if later == "failed" else "done")
    await happen(store, clock)
    await made(store, clock).clean()
    assert await count(database, "rejected_records") == 2
    clock.advance(31 * DAY_MS / 1000)
    await happen(store, clock)
    await made(store, clock).clean()
    assert await count(database, "rejected_records") == (2 if is_kept else 0)


async def test_a_removed_run_that_the_journal_brings_back_is_nowhere_listed_and_removed_again(
    store: StatusStore, clock: MovableClock, url: str, database: Database
) -> None:
    """Its last record, and one of the time when it ran: a projector without offsets reads both again."""
    await fill(url, PAST)
    await happen(store, clock)
    await made(store, clock).clean()
    ended, ran = PAST.sync(0, 3), msgspec.structs.replace(PAST.sync(0, 4), status="running", ended_at=0)
    reading = msgspec.structs.replace(PAST.entity_runs(ran)[0], status="fetching", ended_at=0)
    await publish(store, ended, ran, reading)
    assert ran not in await store.runs(SYNC.name)
    assert await store.children(ran.run_id) == []
    assert await store.runs(SYNC.name, ran.run_id) == [ran]
    await made(store, clock).clean()
    assert await counted(database) == left(DAYS)


async def test_two_at_once_and_one_that_was_killed_between_batches_leave_what_one_alone_leaves(
    store: StatusStore, clock: MovableClock, url: str, database: Database
) -> None:
    await fill(url, PAST)
    await happen(store, clock)
    killed = open_status(Settings(sink=url), clock)
    with pytest.raises(Killed):
        await made(Dying(killed, batches=9), clock).clean()
    await killed.close()
    assert left(PAST.syncs) > await counted(database) > left(DAYS)
    second = open_status(Settings(sink=url), clock)
    await asyncio.gather(made(store, clock).clean(), made(second, clock).clean())
    await second.close()
    assert await counted(database) == left(DAYS)


async def test_a_round_ends_at_its_maximum_and_the_next_one_continues_there(
    store: StatusStore, clock: MovableClock, url: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    newest = Past(T0 - 90 * DAY_MS, orgs=40, syncs=1, entities=0, events=1)  # they stay, and are the oldest
    await fill(url, newest, Past(T0, orgs=1, syncs=20, entities=0, events=1))
    monkeypatch.setattr(cleaner, "BATCH_ROWS", 7)
    monkeypatch.setattr(cleaner, "BATCHES_MAX", 2)
    clock.advance(90 * DAY_MS / 1000)
    await happen(store, clock)
    one, rows = made(store, clock), []
    for _ in range(6):
        await one.clean()
        rows.append(await count(database, "sluice_workflow_runs"))
    assert rows == [59, 59, 57, 43, 40, 40]  # the oldest of all is not the newest of its workflow


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(-3_600, 0), (3_600, 0), (0, 3_600), (365 * 86_400, 0), (0, 365 * 86_400)],
    ids=["an hour behind", "an hour ahead", "the broker's an hour ahead", "a year ahead", "the broker's a year ahead"],
)
async def test_a_wrong_clock_removes_nothing_that_is_younger(
    store: StatusStore, clock: MovableClock, url: str, database: Database, ours: int, theirs: int
) -> None:
    await fill(url, PAST)
    clock.advance(theirs)
    await happen(store, clock)
    clock.advance(ours - theirs)
    await made(store, clock).clean()
    runs, _, fences = await counted(database)
    assert (runs, fences) >= left(DAYS)[::2]
    assert (runs, fences) <= left(DAYS + 1)[::2]


async def test_a_year_keeps_all_of_two_months_and_the_least_retention_is_longer_than_a_records(
    store: StatusStore, clock: MovableClock, url: str, database: Database
) -> None:
    await fill(url, PAST)
    await happen(store, clock)
    await made(store, clock, days=365).clean()
    assert await counted(database) == left(PAST.syncs)
    await made(store, clock, days=RETENTION_DAYS_MIN).clean()
    assert await counted(database) == left(RETENTION_DAYS_MIN)


async def test_a_row_that_is_locked_is_left_for_the_next_round_and_a_locked_file_is_waited_for(
    store: StatusStore, clock: MovableClock, url: str, database: Database
) -> None:
    await fill(url, PAST)
    await happen(store, clock)
    if (path := sqlite_path(url)) is not None:
        with closing(sqlite3.connect(path, isolation_level=None)) as file:
            file.execute("begin immediate")
            cleaning = asyncio.create_task(made(store, clock).clean())
            await asyncio.sleep(0.1)
        await cleaning
    else:
        other = await asyncpg.connect(url)
        async with asyncio.timeout(10), other.transaction():
            await other.execute("select from sluice_workflow_runs order by started_at limit 1 for update")
            await made(store, clock).clean()
            assert (await counted(database))[0] == left(DAYS)[0] + 1
        await other.close()
    await made(store, clock).clean()
    assert await counted(database) == left(DAYS)


async def test_runs_that_the_projector_publishes_while_they_are_removed_are_removed(
    store: StatusStore, clock: MovableClock, url: str, database: Database
) -> None:
    await fill(url, PAST)
    await happen(store, clock)
    late = [state for number in range(3, 20) for state in states(number)]
    projecting = (publish(store, *late, epoch=epoch) for epoch in range(2, 12))
    await asyncio.gather(made(store, clock).clean(), *projecting)
    await publish(store, *states(PAST.syncs - 1), epoch=20)
    await made(store, clock).clean()
    assert await counted(database) == left(DAYS)
