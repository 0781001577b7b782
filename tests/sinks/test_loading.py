"""First loads by COPY: the same rows as the upsert path brings, and the upsert path wherever they are not new."""

from datetime import UTC, date, datetime

import asyncpg
import pytest

from agents.ports import PageOutcome, PageWrite, RejectedRecord, Sink
from service.sinks.postgres import loading
from service.sinks.postgres.commit import LEDGER_STATEMENT, ledger_arguments
from service.sinks.postgres.copying import copy_rows
from service.sinks.postgres.loading import FirstLoads
from service.sinks.postgres.sink import SESSION
from service.sinks.schema import entity_table
from tests.sinks.builders import (
    CONTACT,
    EVERY_TYPE,
    NOON,
    TYPED,
    committed,
    open_lease,
    page,
    row,
    run,
    typed_row,
    write,
)
from tests.sinks.conftest import Database

pytestmark = pytest.mark.postgres

ROWS = [
    EVERY_TYPE,
    (None,) * 7,
    ("", 0, 0.0, False, datetime(1, 1, 2, tzinfo=UTC), date(1, 1, 1), "[]"),
    ("é𝄞\n\t\\", -(2**63), -1.5e300, True, datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC), date(9999, 12, 31), '""'),
    ("x" * 100_000, 2**53, 5e-324, False, datetime(1999, 12, 31, 23, 59, 59, 1, UTC), date(1999, 12, 31), "1e400"),
]


@pytest.fixture
def url(postgres_dsn: str) -> str:
    return postgres_dsn


@pytest.fixture(autouse=True)
def few_rows_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "LOAD_ROWS_MIN", 1)


async def load(database: Database, *pages: PageWrite, loads: FirstLoads | None = None) -> list[PageOutcome] | None:
    async with asyncpg.create_pool(database.url, min_size=1, max_size=1) as pool, pool.acquire() as connection:
        table = entity_table("book", pages[0].entity)
        return await (loads or FirstLoads()).load(connection, pages, table, NOON)


async def test_every_value_arrives_as_by_the_upsert_path(
    database: Database, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = run(org="first", entity=TYPED), run(org="second", entity=TYPED)
    rows = [typed_row(f"{number}", *values) for number, values in enumerate(ROWS)]
    await open_lease(sink, first)
    assert await load(database, page(first, 1, *rows, entity=TYPED)) == [committed(len(ROWS))]
    monkeypatch.setattr(loading, "LOAD_ROWS_MIN", 1_000)
    await write(sink, second, *rows, entity=TYPED)
    differing = "select to_jsonb(stored) - 'org' - 'run_id' from book_book_typed as stored where org = '{}'"
    there = [set(await database.query(differing.format(org))) for org in ("first", "second")]
    assert there[0] == there[1]
    assert len(there[0]) == len(ROWS)


async def test_all_pages_of_the_first_run_are_loaded_and_a_second_run_takes_the_upsert_path(
    database: Database, sink: Sink
) -> None:
    loads = FirstLoads()
    await open_lease(sink, run(1))
    for number in (1, 2):
        assert await load(database, page(run(1), number, row(f"{number}")), loads=loads)
    await open_lease(sink, run(2))
    assert await load(database, page(run(2), 1, row("a", "new"))) is None


async def test_a_page_that_the_ledger_holds_or_with_rejected_records_takes_the_upsert_path(
    database: Database, sink: Sink
) -> None:
    loads, rejected = FirstLoads(), RejectedRecord("x", "no key", "{}")
    await open_lease(sink, run())
    assert await load(database, page(run(), 1, row("a"), rejected=[rejected])) is None
    await load(database, page(run(), 1, row("a")), loads=loads)
    assert await load(database, page(run(), 1, row("a")), page(run(), 2, row("b")), loads=loads) is None
    assert await database.query("select id from book_book_contact") == [("a",)]


async def test_a_record_that_two_pages_have_is_loaded_once(database: Database, sink: Sink) -> None:
    await open_lease(sink, run())
    pages = page(run(), 1, row("a"), row("b")), page(run(), 2, row("b"), row("c"))
    assert await load(database, *pages) == [committed(2), committed(2)]
    assert await database.query("select id from book_book_contact order by id") == [("a",), ("b",), ("c",)]


async def test_where_records_were_rejected_before_the_upsert_path_is_taken(database: Database, sink: Sink) -> None:
    await write(sink, run(1), rejected=[RejectedRecord("a", "bad", "{}")])
    await open_lease(sink, run(2))
    assert await load(database, page(run(2), 1, row("a"))) is None
    assert await database.query("select id from book_book_contact") == []


async def test_a_closed_run_loads_nothing(database: Database, sink: Sink) -> None:
    await open_lease(sink, run())
    await open_lease(sink, run(2))
    assert await load(database, page(run(), 1, row("a"))) is None
    assert await database.query("select id from book_book_contact") == []


async def test_a_process_frozen_within_a_transaction_does_not_block_others_for_long(
    database: Database, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SESSION, "idle_in_transaction_session_timeout", "300ms")
    await open_lease(sink, run())
    frozen = await asyncpg.connect(database.url, server_settings=SESSION)
    await frozen.transaction().start()
    await frozen.fetch(LEDGER_STATEMENT, *ledger_arguments([page(run(), 1, row("a"))], NOON))
    await open_lease(sink, run(2))
    held = "select count(*) from pg_stat_activity where state like 'idle in trans%' and datname = current_database()"
    assert await database.query(held) == [(0,)]
    frozen.terminate()


async def test_rows_are_sent_in_the_order_in_which_every_writer_locks_them() -> None:
    pages = [page(run(org="b"), 1, row("z"), row("é")), page(run(org="a"), 1, row("y"), row("x"))]
    sent = copy_rows(pages, entity_table("book", CONTACT))
    places = [sent.index(key) for key in (b"\x01x", b"\x01y", b"\x01z", "\x02é".encode())]
    assert places == sorted(places)


async def test_what_is_remembered_of_runs_is_bounded(
    database: Database, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "RUNS_REMEMBERED_MAX", 1)
    loads = FirstLoads()
    for org in ("a", "b"):
        await open_lease(sink, run(org=org))
    assert await load(database, page(run(org="a"), 1, row("a")), page(run(org="b"), 1, row("b")), loads=loads) is None
    assert await load(database, page(run(org="b"), 1, row("b")), loads=loads)
