"""What only the PostgreSQL sink has to care for: a server that goes away, refuses us, or will not store a value."""

import asyncio
import socket
from collections.abc import AsyncIterator

import asyncpg
import pytest

from agents.ports import PageOutcome, Sink
from service.clock import SystemClock
from service.sinks import open_sink
from service.sinks.postgres.errors import translate
from tests.sinks.builders import (
    EVERY_TYPE,
    TYPED,
    adapter,
    commit,
    finish,
    grant,
    page,
    patiently,
    row,
    run,
    typed_row,
    write,
)
from tests.sinks.conftest import PostgresPlace
from tests.support.postgres import PostgresServer
from topics.errors import Rejected, Retryable

pytestmark = pytest.mark.postgres

TRIES_MAX = 20
PAUSE_SECONDS = 0.1


@pytest.fixture
async def place(postgres_dsn: str) -> AsyncIterator[PostgresPlace]:
    place = PostgresPlace(postgres_dsn)
    yield place
    await place.close()


async def blocked(place: PostgresPlace) -> None:
    """Wait until some session of ours waits for a lock."""
    query = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
    for _ in range(TRIES_MAX):
        if await place.query(query) != [(0,)]:
            return
        await asyncio.sleep(PAUSE_SECONDS)
    pytest.fail("no session waits for a lock")


async def test_after_a_restart_of_the_server_the_sink_goes_on(sink: Sink, postgres_server: PostgresServer) -> None:
    await asyncio.gather(*(grant(sink, run(org=org)) for org in "abcdefgh"))
    postgres_server.restart()
    assert (await patiently(lambda: write(sink, run(org="a"), row("a")))).status == "committed"


async def test_a_commit_that_is_cut_off_is_repeated_and_written_once(
    sink: Sink, place: PostgresPlace, postgres_server: PostgresServer
) -> None:
    await write(sink, run(), row("a"))
    holder = await asyncpg.connect(place.url)
    await holder.execute("begin; lock table book_book_contact")
    cut_off = asyncio.create_task(commit(sink, page(run(), 2, row("b"))))
    await blocked(place)
    postgres_server.kill()
    with pytest.raises(Retryable):
        await cut_off
    holder.terminate()
    postgres_server.start()
    assert await patiently(lambda: commit(sink, page(run(), 2, row("b")))) == [PageOutcome("committed", 1)]
    assert (await finish(sink, run(), "done")).pages == 2


async def test_whoever_opens_a_newer_run_waits_for_the_one_who_opens_an_older(sink: Sink, place: PostgresPlace) -> None:
    older = run(1)
    names = (older.id, older.workflow, older.number, older.org, older.adapter, older.entity, older.type)
    first = await asyncpg.connect(place.url)
    opening = first.transaction()
    await opening.start()
    arrays = ", ".join(f"array[${position}]" for position in range(1, 8)).replace("$3", "$3::bigint")
    await first.execute(f"select sluice_open_runs({arrays}, now())", *names)
    second = asyncio.create_task(grant(sink, run(2)))
    await blocked(place)
    await opening.commit()
    await first.close()
    assert (await second).is_open
    assert not (await grant(sink, older)).is_open


async def test_a_new_row_that_another_transaction_stores_at_that_moment_is_compared_with_it(
    sink: Sink, place: PostgresPlace
) -> None:
    await write(sink, run(), row("other", "newer", 2))
    first = await asyncpg.connect(place.url)
    storing = first.transaction()
    await storing.start()
    await first.execute("update book_book_contact set id = 'a'")
    second = asyncio.create_task(commit(sink, page(run(), 2, row("a", "older", 1), row("b", "Bob"))))
    await blocked(place)
    await storing.commit()
    await first.close()
    assert await second == [PageOutcome("committed", 2, 0)]
    assert await place.query("select id, name from book_book_contact order by id") == [("a", "newer"), ("b", "Bob")]


async def test_a_server_that_is_not_there_is_tried_again_later() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        sink = open_sink(f"postgresql://app:secret@127.0.0.1:{probe.getsockname()[1]}/db", SystemClock())
        with pytest.raises(Retryable, match=r"PostgreSQL at 127.0.0.1:\d+/db cannot be reached") as raised:
            await grant(sink, run())
    assert "secret" not in str(raised.value)
    await sink.close()


async def test_a_database_that_does_not_exist_is_refused(postgres_server: PostgresServer) -> None:
    sink = open_sink(postgres_server.dsn("nowhere"), SystemClock())
    with pytest.raises(Rejected, match=r'refuses us: database "nowhere" does not exist. Check SLUICE_SINK'):
        await sink.prepare(adapter())
    await sink.close()


async def test_a_user_without_rights_is_refused(sink: Sink, place: PostgresPlace) -> None:
    await place.query("drop role if exists weak")
    await place.query("create role weak login")
    weak = open_sink(place.url.replace("app@", "weak@"), SystemClock())
    with pytest.raises(Rejected, match=r"refuses us: permission denied .* user's rights"):
        await weak.prepare(adapter())
    await weak.close()


@pytest.mark.parametrize("url", ["postgresql://host:port/db", "postgresql://[::1/db"])
async def test_an_address_that_cannot_be_read_is_refused(url: str) -> None:
    with pytest.raises(Rejected, match="SLUICE_SINK is not an address of a PostgreSQL database"):
        await grant(open_sink(url, SystemClock()), run())


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.SerializationError("x"),
        asyncpg.DeadlockDetectedError("x"),
        asyncpg.AdminShutdownError("x"),
        asyncpg.CannotConnectNowError("x"),
        asyncpg.TooManyConnectionsError("x"),
        asyncpg.DiskFullError("x"),
        asyncpg.QueryCanceledError("x"),
        asyncpg.ReadOnlySQLTransactionError("x"),
        asyncpg.ConnectionDoesNotExistError("x"),
        asyncpg.InterfaceError("connection is closed"),
        TimeoutError(),
        ConnectionResetError("x"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_passes_is_tried_again(error: Exception) -> None:
    assert isinstance(translate(error, "PostgreSQL at x"), Retryable)


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.InvalidPasswordError("x"),
        asyncpg.InvalidCatalogNameError("x"),
        asyncpg.InsufficientPrivilegeError("x"),
        asyncpg.UndefinedTableError("x"),
        asyncpg.UndefinedColumnError("x"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_only_a_person_can_change_is_refused(error: Exception) -> None:
    assert isinstance(translate(error, "PostgreSQL at x"), Rejected)


@pytest.mark.parametrize(
    "json", [r'"\u0000"', r'"\ud800"', "[" * 100_000 + "]" * 100_000, "{", "1e999999"], ids=range(5)
)
async def test_json_that_the_server_cannot_hold_is_set_aside(sink: Sink, place: PostgresPlace, json: str) -> None:
    of = run(entity=TYPED)
    await grant(sink, of)
    rows = typed_row("a", *EVERY_TYPE), typed_row("b", *EVERY_TYPE[:-1], json)
    assert await commit(sink, page(of, 1, *rows, entity=TYPED)) == [PageOutcome("committed", 1, 1)]
    assert await place.query("select id from book_book_typed") == [("a",)]


async def test_text_with_a_nul_is_set_aside(sink: Sink, place: PostgresPlace) -> None:
    assert await write(sink, run(), row("a"), row("b", "x\x00")) == PageOutcome("committed", 1, 1)


async def test_a_key_too_long_for_the_index_is_set_aside(sink: Sink, place: PostgresPlace) -> None:
    key = "".join(f"{number:x}" for number in range(4000))
    assert await write(sink, run(), row("a"), row(key)) == PageOutcome("committed", 1, 1)


async def test_a_row_that_a_deferred_constraint_refuses_is_set_aside(sink: Sink, place: PostgresPlace) -> None:
    await place.query("create table known (name text primary key)")
    await place.query("insert into known values ('Ann')")
    await place.query(
        "alter table book_book_contact add foreign key (name) references known deferrable initially deferred"
    )
    assert await write(sink, run(), row("a", "Ann"), row("b", "Bob")) == PageOutcome("committed", 1, 1)


async def test_a_row_that_the_owners_trigger_refuses_is_set_aside(sink: Sink, place: PostgresPlace) -> None:
    await place.query(
        "create function refuse() returns trigger language plpgsql as $$ begin raise 'no Bob here'; end $$"
    )
    await place.query(
        "create trigger refuse before insert on book_book_contact for each row when (new.name = 'Bob') "
        "execute function refuse()"
    )
    assert await write(sink, run(), row("a", "Ann"), row("b", "Bob")) == PageOutcome("committed", 1, 1)
    assert await place.query("select reason from rejected_records") == [("the database refused it: no Bob here",)]


async def test_an_unchanged_row_is_not_even_locked(sink: Sink, place: PostgresPlace) -> None:
    await write(sink, run(1), row("a", "Ann", 1))
    before = await place.query("select ctid, xmin, xmax from book_book_contact")
    await write(sink, run(2), row("a", "Ann", 1), number=2)
    assert await place.query("select ctid, xmin, xmax from book_book_contact") == before
