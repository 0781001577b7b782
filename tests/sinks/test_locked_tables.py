"""A table that somebody locks in PostgreSQL: its own pages wait and say why, all others are committed."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager

import asyncpg
import pytest

from agents.activities.database import Database as Commits
from agents.deletes import DeletingSink
from agents.ports import PageWrite, RunRef
from manifests.entity import Entity
from service.sinks.postgres import connection
from tests.sinks.builders import CONTACT, TYPED, adapter, open_lease, page, row, run, typed_row
from tests.sinks.conftest import Database
from topics.errors import Retryable

pytestmark = pytest.mark.postgres

ORGS = [f"org-{number}" for number in range(40)]  # more than there are connections


@pytest.fixture
def url(postgres_dsn: str) -> str:
    return postgres_dsn


@asynccontextmanager
async def locked(database: Database, *tables: str) -> AsyncIterator[None]:
    other = await asyncpg.connect(database.url)
    try:
        async with other.transaction():
            for table in tables:
                await other.execute(f"lock table {table} in access exclusive mode")
            yield
    finally:
        await other.close()


def pages(of: Entity, number: int) -> list[tuple[RunRef, PageWrite]]:
    content = row("a") if of is CONTACT else typed_row("a", *[None] * 7)
    runs = [run(org=org, entity=of) for org in ORGS]
    return [(one, page(one, number, content, entity=of)) for one in runs]


async def opened(sink: DeletingSink) -> Commits:
    for of in (CONTACT, TYPED):
        for one, _ in pages(of, 1):
            await open_lease(sink, one)
    return Commits(sink, asyncio.sleep)


async def outcome(call: Awaitable[object]) -> str:
    try:
        await call
    except Retryable as error:
        return str(error)
    return ""


async def test_a_locked_table_holds_up_its_own_pages_and_nobody_elses(sink: DeletingSink, database: Database) -> None:
    """Nothing was committed or read until the lock was gone: its batches and reads held every connection."""
    commits = await opened(sink)
    async with locked(database, "book_book_contact"):
        began = time.monotonic()
        waiting = [
            *(asyncio.create_task(outcome(commits.commit_page(one))) for _, one in pages(CONTACT, 1)),
            *(asyncio.create_task(outcome(commits.count("book", CONTACT, org))) for org in ORGS),
        ]
        await asyncio.sleep(0.1)
        await asyncio.gather(*(commits.commit_page(one) for _, one in pages(TYPED, 1)))
        await commits.count("book", TYPED, ORGS[0])
        await open_lease(sink, run(2))
        print(f"{len(ORGS)} pages of another table, a read and an opening: {time.monotonic() - began:.2f} s")
        assert not any(one.done() for one in waiting)
        said = await asyncio.gather(*waiting)
    assert all(reason.startswith("book_book_contact is locked in PostgreSQL at ") for reason in said)
    assert all("pg_blocking_pids() shows whose it is" in reason for reason in said)
    assert await outcome(commits.commit_page(pages(CONTACT, 1)[0][1])) == ""


async def test_what_waited_for_a_lock_is_committed_when_it_is_released(sink: DeletingSink, database: Database) -> None:
    commits = await opened(sink)
    async with locked(database, "book_book_contact"):
        waiting = [asyncio.create_task(outcome(commits.commit_page(one))) for _, one in pages(CONTACT, 1)]
        await asyncio.sleep(0.5)
    assert set(await asyncio.gather(*waiting)) == {""}


@pytest.mark.parametrize(
    ("error", "said", "is_repeated"),
    [
        (
            asyncpg.LockNotAvailableError("x"),
            "book_contact is locked in db for more than 3 s by another session",
            False,
        ),
        (asyncpg.QueryCanceledError("timeout"), "a statement on book_contact was stopped in db: timeout", False),
        (asyncpg.DeadlockDetectedError("x"), "a deadlock on book_contact in db; nothing of it was written: x", True),
    ],
)
def test_whatever_holds_up_a_table_is_retryable_and_names_it(error: Exception, said: str, is_repeated: bool) -> None:
    """A deadlock is repeated in place; a lock, or a statement that takes too long, gives its place back at once."""
    with pytest.raises(Retryable) as caught, connection.translated("db", "book_contact"):
        raise error
    assert str(caught.value).startswith(said)
    assert (caught.value.after_seconds is None) == is_repeated


async def test_sessions_that_prepare_the_schema_wait_for_each_other_beyond_the_timeout_of_a_lock(
    database: Database,
) -> None:
    other = await asyncpg.connect(database.url)
    async with other.transaction():
        await other.execute("select pg_advisory_xact_lock(1397511498, 0)")
        preparing = asyncio.create_task(database.open().prepare(adapter()))
        await asyncio.sleep(connection.LOCK_TIMEOUT_SECONDS + 1)
        assert not preparing.done()
    await other.close()
    await preparing
