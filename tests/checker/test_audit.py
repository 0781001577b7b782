"""The audit on a real PostgreSQL, beside the engine's own sink."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from agents.ports import Sink
from service.clock import SystemClock
from service.sinks import open_sink
from tests.checker.audit import NotInstalled, install
from tests.sinks.builders import adapter, commit, finish, grant, page, row, run

pytestmark = pytest.mark.postgres

LINES = "select run_id, page, records, state from sluice_audit_pages order by id"
CHANGES = "select run_id, state from sluice_audit_runs order by id"


@pytest.fixture
async def sink(postgres_dsn: str) -> AsyncIterator[Sink]:
    made = open_sink(postgres_dsn, SystemClock())
    await made.prepare(adapter())
    assert await install(postgres_dsn)
    yield made
    await made.close()


async def query(dsn: str, sql: str) -> list[tuple[object, ...]]:
    connection = await asyncpg.connect(dsn)
    try:
        return [tuple(row) for row in await connection.fetch(sql)]
    finally:
        await connection.close()


async def test_each_page_is_written_down_once_and_each_change_of_a_run(sink: Sink, postgres_dsn: str) -> None:
    await grant(sink, run())
    for _ in range(2):
        await commit(sink, page(run(), 1, row("a"), row("b")))
    await finish(sink, run(), "done")
    await grant(sink, run(2))
    assert await query(postgres_dsn, LINES) == [(run().id, 1, 2, "open")]
    assert await query(postgres_dsn, CHANGES) == [(run().id, "open"), (run().id, "done"), (run(2).id, "open")]


async def test_a_page_that_is_rolled_back_leaves_no_line(sink: Sink, postgres_dsn: str) -> None:
    await grant(sink, run())
    connection = await asyncpg.connect(postgres_dsn)
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute(_INSERT, run().id)
    await transaction.rollback()
    await connection.close()
    assert await query(postgres_dsn, LINES) == []


async def test_a_line_tells_that_its_run_was_closed_before(sink: Sink, postgres_dsn: str) -> None:
    await grant(sink, run())
    await finish(sink, run(), "cancelled")
    connection = await asyncpg.connect(postgres_dsn)
    await connection.execute(_INSERT, run().id)
    await connection.close()
    assert await query(postgres_dsn, LINES) == [(run().id, 7, 1, "cancelled")]


async def test_installed_again_it_stays_as_it_is(sink: Sink, postgres_dsn: str) -> None:
    await grant(sink, run())
    assert not await install(postgres_dsn)
    assert await query(postgres_dsn, CHANGES) == [(run().id, "open")]


async def test_it_is_not_installed_behind_the_first_run(postgres_dsn: str) -> None:
    made = open_sink(postgres_dsn, SystemClock())
    await made.prepare(adapter())
    await grant(made, run())
    with pytest.raises(NotInstalled, match="before the first one"):
        await install(postgres_dsn)
    await made.close()


_INSERT = "insert into sluice_pages values ($1, '', 7, 1, 0, true, null, now())"
