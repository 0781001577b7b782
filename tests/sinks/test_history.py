"""What is asked of the internal tables reads a few pages or rows, however many runs there have been."""

import asyncio
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest

from agents.kinds import SYNC
from agents.ports import RunRef
from service.clock import SystemClock
from service.settings import Settings
from service.sinks.postgres import commit
from service.sinks.postgres.sink import SESSION
from service.sinks.schema import iso
from service.sinks.sqlite.runs import open_run
from service.sql import read_statements
from service.status import open_status
from service.status.cleaner import BEGINNING
from service.status.store import RUNS_COMPARED_MAX
from tests.support.past import Past, fill_postgres, fill_sqlite

PAST = Past(now=1_700_000_000_000, orgs=2, syncs=500, entities=1, events=10)  # 500 runs of each of four workflows
LAST = PAST.sync(1, PAST.syncs - 1)
LAST_ENTITY = PAST.entity_runs(LAST)[0]
ASKED: Mapping[str, tuple[str, tuple[object, ...]]] = {
    "the newest runs": ("newest_runs", (SYNC.name, RUNS_COMPARED_MAX)),
    "a run": ("named_runs", (SYNC.name, 1, LAST.run_id)),
    "the newest run of a workflow": ("named_runs", (SYNC.name, 1, LAST.key)),
    "the run of a request": ("named_runs", (SYNC.name, 1, LAST.request)),
    "a run that is not there": ("named_runs", (SYNC.name, 1, "nobody")),
    "the entities of a run": ("children", (LAST.run_id,)),
    "a timeline": ("timeline", (LAST.key, RUNS_COMPARED_MAX)),
}
# With the arguments of what removes; the first of them is also that of what finds the batch.
REMOVED: Mapping[str, tuple[object, ...]] = {"runs": (SYNC.name, RUNS_COMPARED_MAX), "events": (), "fences": ()}
NOW = datetime.fromtimestamp(PAST.now / 1000, UTC)
BATCH_ROWS = 2
PAGES_READ_MAX = 100  # of 8 kB, in PostgreSQL; the table of runs alone has more than 500
STEPS_MAX = 1_500  # of SQLite's virtual machine; looking through 500 rows takes more
STEP_UNIT = 100


async def prepare(url: str) -> None:
    store = open_status(Settings(sink=url), SystemClock())
    await store.prepare()
    await store.close()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("history") / "sluice.db"
    asyncio.run(prepare(f"sqlite:///{path}"))
    fill_sqlite(path, PAST)
    return path


@pytest.mark.postgres
async def test_in_postgres(postgres_dsn: str) -> None:
    await prepare(postgres_dsn)
    await fill_postgres(postgres_dsn, PAST)
    status, sink = read_statements("service.status", "postgres.sql"), await asyncpg.connect(postgres_dsn)
    read = {what: await pages_read(sink, status[name], *arguments) for what, (name, arguments) in ASKED.items()}
    published = ([LAST.key], [LAST.run_id], RUNS_COMPARED_MAX)
    read["publishing a run"] = await pages_read(sink, status["supersede"], *published)
    for setting, value in SESSION.items():
        await sink.execute(f"set {setting} = '{value}'")
    for number in (PAST.now, PAST.now + 1):  # the first one reads the catalogue, too
        run = ([f"{LAST_ENTITY.key}@{number}"], [LAST_ENTITY.key], [number], ["org-1"], ["pco"], ["a.b"], ["full"])
        arguments: Any = (*run, [1], [1], [], [], await sink.fetchval("select now()"))
        read["opening a run"] = await pages_read(sink, commit.SQL["open_leases"], *arguments)
    await sink.execute("set enable_seqscan = off")  # as the store does
    for table, arguments in REMOVED.items():
        found: Any = await sink.fetchrow(status[f"next_{table}"], NOW, *BEGINNING, BATCH_ROWS, *arguments[:1])
        batch = (NOW, *BEGINNING, *found)
        read[f"removing {table}"] = await pages_read(sink, status[f"remove_{table}"], *batch, *arguments)
    read["removing lines"] = await pages_read(sink, status["remove_lines"], *batch, BATCH_ROWS)
    await sink.close()
    assert {what: pages for what, pages in read.items() if pages > PAGES_READ_MAX} == {}


async def pages_read(connection: Any, statement: str, *arguments: object) -> int:
    explained = await connection.fetchval(f"explain (analyze, buffers, format json) {statement}", *arguments)
    (found,) = msgspec.json.decode(explained)
    return sum(int(found["Plan"][f"Shared {kind} Blocks"]) for kind in ("Hit", "Read"))


@pytest.mark.parametrize("what", ASKED)
def test_in_sqlite(file: Path, what: str) -> None:
    name, arguments = ASKED[what]
    assert steps(file, read_statements("service.status", "sqlite.sql")[name], arguments) <= STEPS_MAX


def test_publishing_a_run_in_sqlite(file: Path) -> None:
    named = {"workflow": LAST.key, "run_id": LAST.run_id, "runs": RUNS_COMPARED_MAX}
    assert steps(file, read_statements("service.status", "sqlite.sql")["supersede"], named) <= STEPS_MAX


@pytest.mark.parametrize("table", REMOVED)
def test_removing_in_sqlite(file: Path, table: str) -> None:
    status, before, arguments = read_statements("service.status", "sqlite.sql"), iso(NOW), REMOVED[table]
    beginning = (iso(NOW - timedelta(days=PAST.syncs + 1)), "")
    with closing(sqlite3.connect(file)) as connection:
        find = (before, *beginning, BATCH_ROWS, *arguments[:1])
        until = connection.execute(status[f"next_{table}"], find).fetchone()
    batch = (before, *beginning, *until)
    assert steps(file, status[f"remove_{table}"], (*batch, *arguments)) <= STEPS_MAX
    assert steps(file, status["remove_lines"], (*batch, BATCH_ROWS)) <= STEPS_MAX


def test_opening_a_run_in_sqlite(file: Path) -> None:
    run = RunRef(LAST_ENTITY.key, PAST.now, "org-1", "pco", "people.entity_00", "full")
    with closing(sqlite3.connect(file)) as connection:
        counted = count_steps(connection)
        open_run(connection, run, "now")
        assert len(counted) * STEP_UNIT <= STEPS_MAX


def steps(file: Path, statement: str, arguments: Any) -> int:
    with closing(sqlite3.connect(file)) as connection:
        counted = count_steps(connection)
        connection.execute(statement, arguments).fetchall()
        return len(counted) * STEP_UNIT


def count_steps(connection: sqlite3.Connection) -> list[None]:
    counted: list[None] = []
    connection.set_progress_handler(lambda: counted.append(None), STEP_UNIT)  # it returns None: continue
    return counted
