"""The PostgreSQL sink alone: a server that goes away, refuses a request, or will not store a value."""

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable
from typing import TypeVar

import asyncpg
import pytest

from agents.kinds import SHIPPED
from agents.ports import Sink
from manifests.entity import Entity
from service.clock import SystemClock
from service.settings import Settings
from service.sinks import open_sink
from service.sinks.postgres.connection import translated
from service.sinks.postgres.sink import SESSION
from service.sinks.sink import SqlSink
from service.status import open_status
from service.status.postgres import PostgresStatus
from tests.sinks.builders import (
    CHILD,
    CONTACT,
    EVERY_TYPE,
    TYPED,
    adapter,
    commit,
    committed,
    open_lease,
    page,
    row,
    run,
    typed_row,
    write,
)
from tests.sinks.conftest import Database
from tests.support.postgres import PostgresServer
from topics.errors import Rejected, Retryable

pytestmark = pytest.mark.postgres

TRIES_MAX = 20
PAUSE_SECONDS = 0.1
R = TypeVar("R")


@pytest.fixture
def url(postgres_dsn: str) -> str:
    return postgres_dsn


async def with_retries(call: Callable[[], Awaitable[R]]) -> R:
    """What a caller does while the server is away."""
    for _ in range(TRIES_MAX):
        try:
            return await call()
        except (Retryable, OSError, asyncpg.PostgresError):
            await asyncio.sleep(PAUSE_SECONDS)
    return await call()


async def blocked(database: Database) -> None:
    """Wait until some session of ours waits for a lock."""
    query = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
    for _ in range(TRIES_MAX):
        if await database.query(query) != [(0,)]:
            return
        await asyncio.sleep(PAUSE_SECONDS)
    pytest.fail("no session waits for a lock")


async def test_after_a_restart_of_the_server_the_sink_works_again(sink: Sink, postgres_server: PostgresServer) -> None:
    await asyncio.gather(*(open_lease(sink, run(org=org)) for org in "abcdefgh"))
    postgres_server.restart()
    assert (await with_retries(lambda: write(sink, run(org="a"), row("a")))).status == "committed"


async def test_a_commit_that_is_cut_off_is_repeated_and_written_once(
    sink: Sink, database: Database, postgres_server: PostgresServer
) -> None:
    await write(sink, run(), row("a"))
    holder = await asyncpg.connect(database.url)
    await holder.execute("begin; lock table book_book_contact")
    cut_off = asyncio.create_task(commit(sink, page(run(), 2, row("b"))))
    await blocked(database)
    postgres_server.kill()
    with pytest.raises(Retryable):
        await cut_off
    holder.terminate()
    postgres_server.start()
    assert await with_retries(lambda: commit(sink, page(run(), 2, row("b")))) == [committed(1)]
    assert await database.query("select page from sluice_pages order by page") == [(1,), (2,)]


async def test_opening_a_newer_run_waits_until_an_older_one_is_opened(sink: Sink, database: Database) -> None:
    older = run(1)
    names = (older.id, older.workflow, older.number, older.org, older.adapter, older.entity, older.type)
    first = await asyncpg.connect(database.url)
    opening = first.transaction()
    await opening.start()
    arrays = ", ".join(f"array[${position}]" for position in range(1, 8)).replace("$3", "$3::bigint")
    await first.execute(f"select sluice_open_runs({arrays}, now())", *names)
    second = asyncio.create_task(open_lease(sink, run(2)))
    await blocked(database)
    await opening.commit()
    await first.close()
    assert (await second).is_open
    assert not (await open_lease(sink, older)).is_open


async def test_a_new_row_that_another_transaction_stores_at_that_moment_is_compared_with_it(
    sink: Sink, database: Database
) -> None:
    await write(sink, run(), row("other", "newer", 2))
    first = await asyncpg.connect(database.url)
    storing = first.transaction()
    await storing.start()
    await first.execute("update book_book_contact set id = 'a'")
    second = asyncio.create_task(commit(sink, page(run(), 2, row("a", "older", 1), row("b", "Bob"))))
    await blocked(database)
    await storing.commit()
    await first.close()
    assert await second == [committed(2)]
    assert await database.query("select id, name from book_book_contact order by id") == [("a", "newer"), ("b", "Bob")]


async def test_a_commit_waits_for_the_disk_even_where_the_servers_default_is_that_none_does(
    sink: Sink, database: Database
) -> None:
    await database.query("alter database sluice set synchronous_commit = off")
    try:
        assert await database.query("show synchronous_commit") == [("off",)]
        rows, status = database.open(), open_status(Settings(sink=database.url), SystemClock(), SHIPPED)
        assert isinstance(rows, SqlSink)
        assert await rows.fetch("show synchronous_commit") == [("on",)]
        assert isinstance(status, PostgresStatus)
        assert await status._pool.fetch("show synchronous_commit") == [("on",)]
        await status.close()
    finally:
        await database.query("alter database sluice reset synchronous_commit")


async def test_a_server_that_may_lose_what_it_commits_is_named_with_its_setting(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tests' own server waits for no disk, and here the session is one whose settings a pooler has dropped."""
    monkeypatch.setitem(SESSION, "synchronous_commit", "off")
    sink = database.open()
    assert isinstance(sink, SqlSink)
    fsync, writes, commit = await sink.dangers()
    assert re.match(r"PostgreSQL at 127.0.0.1:\d+/sluice: fsync is off: .* Set it on and reload the server", fsync)
    assert "full_page_writes is off" in writes
    assert "synchronous_commit is off in the sessions of Sluice, which ask for on" in commit


async def test_a_durable_server_has_no_dangers() -> None:
    with PostgresServer(durable=True) as server:
        sink = open_sink(server.dsn(), SystemClock())
        assert await sink.dangers() == []
        await sink.close()


async def test_a_server_that_is_not_there_is_tried_again_later() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        sink = open_sink(f"postgresql://app:secret@127.0.0.1:{probe.getsockname()[1]}/db", SystemClock())
        with pytest.raises(Retryable, match=r"PostgreSQL at 127.0.0.1:\d+/db cannot be reached") as raised:
            await open_lease(sink, run())
    assert "secret" not in str(raised.value)
    await sink.close()


async def test_a_database_that_does_not_exist_is_refused(postgres_server: PostgresServer) -> None:
    sink = open_sink(postgres_server.dsn("nowhere"), SystemClock())
    with pytest.raises(Rejected, match=r'refused a request: database "nowhere" does not exist. Check SLUICE_SINK'):
        await open_lease(sink, run())
    await sink.close()


async def test_a_user_without_rights_is_refused(sink: Sink, database: Database) -> None:
    await database.query("drop role if exists weak")
    await database.query("create role weak login")
    weak = open_sink(database.url.replace("app@", "weak@"), SystemClock())
    with pytest.raises(Rejected, match=r"refused a request: permission denied .* user's rights"):
        await open_lease(weak, run())
    await weak.close()


@pytest.mark.parametrize("url", ["postgresql://host:port/db", "postgresql://[::1/db"])
async def test_an_address_that_cannot_be_read_is_refused(url: str) -> None:
    with pytest.raises(Rejected, match="SLUICE_SINK is not an address of a PostgreSQL database"):
        await open_lease(open_sink(url, SystemClock()), run())


RETRYABLE = (
    *(asyncpg.SerializationError, asyncpg.DeadlockDetectedError, asyncpg.AdminShutdownError),
    *(asyncpg.CannotConnectNowError, asyncpg.TooManyConnectionsError, asyncpg.QueryCanceledError),
    *(asyncpg.ReadOnlySQLTransactionError, asyncpg.ConnectionDoesNotExistError, asyncpg.InterfaceError),
    *(asyncpg.DiskFullError, TimeoutError, ConnectionResetError),
)
REJECTED = (
    *(asyncpg.InvalidPasswordError, asyncpg.InvalidCatalogNameError, asyncpg.InsufficientPrivilegeError),
    *(asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError),
)


@pytest.mark.parametrize("error", [*RETRYABLE, *REJECTED])
def test_what_passes_is_tried_again_and_what_only_a_person_can_change_is_refused(error: type[Exception]) -> None:
    with pytest.raises(Retryable if error in RETRYABLE else Rejected), translated("PostgreSQL at x"):
        raise error("x")


@pytest.mark.parametrize(
    "json", [r'"\u0000"', r'"\ud800"', "[" * 100_000 + "]" * 100_000, "{", "1e999999"], ids=range(5)
)
async def test_json_that_the_server_cannot_hold_is_set_aside(sink: Sink, database: Database, json: str) -> None:
    rows = typed_row("a", *EVERY_TYPE), typed_row("b", *EVERY_TYPE[:-1], json)
    assert await write(sink, run(entity=TYPED), *rows, entity=TYPED) == committed(1, 1)
    assert await database.query("select id from book_book_typed") == [("a",)]


async def test_text_with_a_nul_and_a_key_too_long_for_the_index_are_set_aside(sink: Sink) -> None:
    key = "".join(f"{number:x}" for number in range(4000))
    assert await write(sink, run(), row("a"), row("b", "x\x00"), row(key)) == committed(1, 2)


async def test_a_row_that_a_deferred_constraint_refuses_is_set_aside(sink: Sink, database: Database) -> None:
    await database.query("create table known (name text primary key)")
    await database.query("insert into known values ('Ann')")
    await database.query(
        "alter table book_book_contact add foreign key (name) references known deferrable initially deferred"
    )
    assert await write(sink, run(), row("a", "Ann"), row("b", "Bob")) == committed(1, 1)


async def test_a_row_that_the_owners_trigger_refuses_is_set_aside(sink: Sink, database: Database) -> None:
    await database.query(
        "create function refuse() returns trigger language plpgsql as $$ begin raise 'no Bob here'; end $$"
    )
    await database.query(
        "create trigger refuse before insert on book_book_contact for each row when (new.name = 'Bob') "
        "execute function refuse()"
    )
    assert await write(sink, run(), row("a", "Ann"), row("b", "Bob")) == committed(1, 1)
    assert await database.query("select reason from rejected_records") == [("the database refused it: no Bob here",)]


async def test_a_table_that_somebody_locks_is_not_waited_for_and_holds_up_no_other(
    sink: Sink, database: Database
) -> None:
    holder = await asyncpg.connect(database.url)
    await holder.execute("begin; lock table book_book_contact")
    shape = {"name": CONTACT.name, "path": CONTACT.path}
    wider = Entity.model_validate({**shape, "fields": {"age": {"type": "integer", "from": "age"}}})
    other = Entity.model_validate({**shape, "fields": {"name": {"type": "integer", "from": "name"}}})
    problems = await sink.prepare(adapter(wider, CHILD))
    assert [(name, type(problem)) for name, problem in problems.items()] == [("book.contact", Retryable)]
    assert isinstance(sink, SqlSink)
    (correction,) = await sink.corrections(adapter(other))
    with pytest.raises(Retryable, match="book_book_contact is locked in PostgreSQL"):
        await sink.correct(correction)
    await holder.close()
    assert await sink.prepare(adapter(wider)) == {}


async def test_an_unchanged_row_is_not_even_locked(sink: Sink, database: Database) -> None:
    await write(sink, run(1), row("a", "Ann", 1))
    before = await database.query("select ctid, xmin, xmax from book_book_contact")
    await write(sink, run(2), row("a", "Ann", 1), number=2)
    assert await database.query("select ctid, xmin, xmax from book_book_contact") == before
