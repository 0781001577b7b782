"""What a crash of PostgreSQL may take back: only what can be done again, and is."""

from collections.abc import AsyncIterator

import pytest

from agents.ports import PageOutcome, Sink
from service.clock import SystemClock
from service.status.postgres import PostgresStatus
from tests.sinks.builders import commit, grant, page, patiently, row, run
from tests.sinks.conftest import PostgresPlace
from tests.sinks.test_status_store import publish, sync
from tests.sinks.test_status_store import row as record
from tests.support.postgres import PostgresServer

pytestmark = pytest.mark.postgres

RUNS = "select count(*) from sluice_runs"
PUBLISHED = "select seq from sluice_sync_runs"


@pytest.fixture
async def place(postgres_dsn: str) -> AsyncIterator[PostgresPlace]:
    place = PostgresPlace(postgres_dsn)
    yield place
    await place.close()


@pytest.fixture
async def status(postgres_dsn: str) -> AsyncIterator[PostgresStatus]:
    store = PostgresStatus(postgres_dsn, SystemClock(), "PostgreSQL")
    await store.prepare()
    yield store
    await store.close()


def crash(server: PostgresServer) -> None:
    server.kill()
    server.start()


async def test_a_run_whose_opening_was_taken_back_is_fenced_and_opened_again(
    sink: Sink, place: PostgresPlace, postgres_server: PostgresServer
) -> None:
    postgres_server.write_late()
    assert (await grant(sink, run())).is_open
    crash(postgres_server)
    assert await patiently(lambda: place.query(RUNS)) == [(0,)]
    assert await patiently(lambda: commit(sink, page(run(), 1, row("a")))) == [PageOutcome("fenced")]
    assert (await grant(sink, run())).is_open


async def test_with_its_first_page_a_run_is_open_for_good(
    sink: Sink, place: PostgresPlace, postgres_server: PostgresServer
) -> None:
    postgres_server.write_late()
    await grant(sink, run())
    await commit(sink, page(run(), 1, row("a")))
    crash(postgres_server)
    assert len((await patiently(lambda: grant(sink, run()))).lines) == 1


async def test_what_was_published_and_taken_back_is_published_again_before_it_counts_as_settled(
    status: PostgresStatus, place: PostgresPlace, postgres_server: PostgresServer
) -> None:
    postgres_server.write_late()
    await publish(status, record(sync(), 1))
    await publish(status, record(sync(), 2))
    crash(postgres_server)
    assert await patiently(lambda: place.query(PUBLISHED)) == []
    await patiently(status.settle)
    crash(postgres_server)
    assert await patiently(lambda: place.query(PUBLISHED)) == [(2,)]


async def test_what_has_settled_is_on_the_disk(
    status: PostgresStatus, place: PostgresPlace, postgres_server: PostgresServer
) -> None:
    postgres_server.write_late()
    await publish(status, record(sync(), 1))
    await status.settle()
    crash(postgres_server)
    assert await patiently(lambda: place.query(PUBLISHED)) == [(1,)]
