"""The audit on a real PostgreSQL, beside the engine's own sink."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from agents.ports import Sink
from service.clock import SystemClock
from service.sinks import open_sink
from tests.checker.audit import NotInstalled, install
from tests.sinks.builders import adapter, close_run, commit, open_lease, page, row, run

pytestmark = pytest.mark.postgres

LINES = "select run_id, page, records, state from sluice_audit_pages order by id"
CHANGES = "select run_id, state from sluice_audit_runs order by id"
INSERT = f"insert into sluice_pages values ('{run().id}', '', 7, 1, 0, true, null, now())"


@pytest.fixture
async def sink(postgres_dsn: str) -> AsyncIterator[Sink]:
    made = open_sink(postgres_dsn, SystemClock())
    await made.prepare(adapter())
    yield made
    await made.close()


@pytest.fixture
async def database(postgres_dsn: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(postgres_dsn)
    yield connection
    await connection.close()


async def test_each_page_is_noted_once_and_each_change_of_a_run(
    sink: Sink, postgres_dsn: str, database: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    assert [await install(postgres_dsn) for _ in range(2)] == [True, False]
    await open_lease(sink, run())
    for _ in range(2):
        await commit(sink, page(run(), 1, row("a"), row("b")))
    rolled_back = database.transaction()
    await rolled_back.start()
    await database.execute(INSERT)
    await rolled_back.rollback()
    await close_run(sink, run(), "cancelled")
    await open_lease(sink, run(2))
    await database.execute(INSERT)
    lines, changes = await database.fetch(LINES), await database.fetch(CHANGES)
    assert [tuple(line) for line in lines] == [(run().id, 1, 2, "open"), (run().id, 7, 1, "cancelled")]
    assert [tuple(one) for one in changes] == [(run().id, "open"), (run().id, "cancelled"), (run(2).id, "open")]


async def test_it_is_not_installed_behind_the_first_run(sink: Sink, postgres_dsn: str) -> None:
    await open_lease(sink, run())
    with pytest.raises(NotInstalled, match="before the first one"):
        await install(postgres_dsn)
