"""The sink in PostgreSQL. Opened leases, closed runs and commits by upsert take one statement each: one request to the
server, and one transaction."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import lru_cache
from typing import Any, TypeVar

import asyncpg

from agents import concurrency
from agents.ports import ClosedRun, LeaseRequest, LeaseState, PageOutcome, PageWrite, RunEnd, RunRef
from manifests.entity import Adapter
from service.clock import Clock
from service.sinks.postgres.commit import SQL, commit_arguments, commit_statements, rejection_arguments
from service.sinks.postgres.connection import DURABLE, LOCK_TIMEOUT_SECONDS, Connection, Pool, translated
from service.sinks.postgres.loading import FirstLoads
from service.sinks.postgres.runs import close_runs, enter_pages, open_leases
from service.sinks.postgres.tables import correct, corrections, create_tables, migrate
from service.sinks.reconciling import ReconcilingSink
from service.sinks.schema import Correction, EntityTable, entity_table, entity_tables
from service.sinks.sink import DataRefused, Statement, compares, one_row
from topics.errors import SluiceError

RUNS_PER_STATEMENT_MAX = 256  # opening a run holds a lock in the server's shared memory until the end
CONNECT_TIMEOUT_SECONDS = 10
STATEMENT_TIMEOUT_SECONDS = 60
# The client's own limits, for a server that no longer responds.
COMMAND_TIMEOUT_SECONDS = STATEMENT_TIMEOUT_SECONDS + 10
ACQUIRE_TIMEOUT_SECONDS = COMMAND_TIMEOUT_SECONDS + CONNECT_TIMEOUT_SECONDS
IDLE_CONNECTION_SECONDS = 300
IDLE_IN_TRANSACTION_SECONDS = 10  # longest time that a frozen process may lock rows
STATEMENTS_CACHED_MAX = 300  # three for each entity; the least recently used one is prepared again
RACES_MAX = 3

R = TypeVar("R")

SESSION = {
    "application_name": "sluice",
    **DURABLE,
    "statement_timeout": f"{STATEMENT_TIMEOUT_SECONDS}s",
    "lock_timeout": f"{LOCK_TIMEOUT_SECONDS}s",
    "idle_in_transaction_session_timeout": f"{IDLE_IN_TRANSACTION_SECONDS}s",
    "default_transaction_isolation": "read committed",
    # All access is by key. A plan made for a small table must not scan the table once it has grown, and plans over
    # arrays do not depend on their values: plan once, by index, without compiling.
    "enable_seqscan": "off",
    "plan_cache_mode": "force_generic_plan",
    "jit": "off",
}


class PostgresSink(ReconcilingSink):
    """Connects at the first call, and again after a lost connection. Bound to the event loop of its creation."""

    sql = SQL

    def __init__(self, dsn: str, clock: Clock) -> None:
        self.clock = clock
        self._first_loads = FirstLoads()
        self._pool = Pool(
            dsn,
            ACQUIRE_TIMEOUT_SECONDS,
            max_size=concurrency.SINK_CONNECTIONS,
            max_inactive_connection_lifetime=IDLE_CONNECTION_SECONDS,
            timeout=CONNECT_TIMEOUT_SECONDS,
            command_timeout=COMMAND_TIMEOUT_SECONDS,
            statement_cache_size=STATEMENTS_CACHED_MAX,
            max_cached_statement_lifetime=0,
            max_cacheable_statement_size=0,
            server_settings=SESSION,
            reset=_keep_settings,
        )

    async def prepare(self, adapter: Adapter) -> Mapping[str, SluiceError]:
        async with self._pool.connection() as connection:
            await migrate(connection, self.clock, self._pool.database)
            return await create_tables(connection, entity_tables(adapter), self._pool.database)

    async def dangers(self) -> Sequence[str]:
        return [f"{self._pool.database}: {danger}" for (danger,) in await self._pool.fetch(SQL["dangers"])]

    async def corrections(self, adapter: Adapter) -> Sequence[Correction]:
        async with self._pool.connection() as connection:
            return await corrections(connection, entity_tables(adapter).values())

    async def correct(self, correction: Correction) -> None:
        async with self._pool.connection(correction.table) as connection:
            await correct(connection, correction)

    async def open_leases(self, requests: Sequence[LeaseRequest]) -> Sequence[LeaseState]:
        states: list[LeaseState] = []
        for start in range(0, len(requests), RUNS_PER_STATEMENT_MAX):
            batch = requests[start : start + RUNS_PER_STATEMENT_MAX]
            async with self._pool.connection("sluice_runs") as connection:
                states += await open_leases(connection, batch, self.clock.now())
        return states

    async def write(self, pages: Sequence[PageWrite]) -> Sequence[PageOutcome]:
        table, moment = _table(pages[0]), self.clock.now()
        async with self._pool.connection(table.name) as connection:
            if not compares(pages[0].run):
                loaded = await self._first_loads.load(connection, pages, table, moment)
                if loaded is not None:
                    return loaded
            return await _retry_races(lambda: _upsert(connection, pages, table, moment))

    async def refused_rows(self, page: PageWrite) -> Mapping[int, str]:
        refused: dict[int, str] = {}
        async with self._pool.connection(_table(page).name) as connection:
            attempt = connection.transaction()
            await attempt.start()
            try:
                await connection.execute("set constraints all immediate")
                for position in range(len(page.rows)):
                    try:
                        await self._write_row(connection, one_row(page, position))
                    except DataRefused as problem:
                        refused[position] = str(problem)
            finally:
                await attempt.rollback()
        return refused

    async def _write_row(self, connection: Connection, page: PageWrite) -> None:
        """Store the row, since later rows may conflict with it. DataRefused if the database refuses it."""

        async def attempt() -> None:
            async with connection.transaction():
                await _upsert(connection, [page], _table(page), self.clock.now())

        with translated(self._pool.database):
            await _retry_races(attempt)

    async def fetch(self, query: str, *arguments: object) -> Sequence[tuple[Any, ...]]:
        return await self._pool.fetch(query, *arguments)

    async def transact(
        self, statements: Sequence[Statement], conditions: Sequence[Statement] = ()
    ) -> list[Sequence[tuple[Any, ...]]]:
        async with self._pool.connection() as connection, connection.transaction():
            for query, arguments in conditions:
                if not await connection.fetch(query, *arguments):
                    return []
            found = [await connection.fetch(query, *arguments) for query, arguments in statements]
        return [[tuple(row) for row in rows] for rows in found]

    def moment(self, at: datetime) -> object:
        return at

    async def close_runs(self, ends: Sequence[RunEnd]) -> Sequence[ClosedRun | None]:
        closed: list[ClosedRun | None] = []
        for start in range(0, len(ends), RUNS_PER_STATEMENT_MAX):
            batch = ends[start : start + RUNS_PER_STATEMENT_MAX]
            async with self._pool.connection("sluice_runs") as connection:
                closed += await close_runs(connection, batch, self.clock.now())
        return closed

    async def ignore_watermark(self, run: RunRef) -> None:
        async with self._pool.connection("sluice_runs") as connection:
            await connection.execute(SQL["ignore_watermark"], run.id, self.clock.now())

    async def close(self) -> None:
        await self._pool.close()


async def _upsert(
    connection: Connection, pages: Sequence[PageWrite], table: EntityTable, moment: datetime
) -> list[PageOutcome]:
    """Commit by the plain statement where that suffices, else by the whole one."""
    run = pages[0].run
    statements, arguments = _statements(table, compares(run)), commit_arguments(pages, table, moment)
    if run.verify:
        return await enter_pages(connection, statements.verifying, [*arguments, *rejection_arguments(pages)[:2]])
    if not any(page.rejected for page in pages):
        outcomes = await enter_pages(connection, statements.plain, arguments)
        if outcomes:
            return outcomes
    return await enter_pages(connection, statements.whole, [*arguments, *rejection_arguments(pages)])


async def _retry_races(write: Callable[[], Awaitable[R]]) -> R:
    """Repeat a commit if another transaction stored one of its rows at the same time: the next attempt sees that row.

    After RACES_MAX failures the cause is not a race, but a unique constraint of the table's owner.
    """
    for _ in range(RACES_MAX - 1):
        with suppress(asyncpg.UniqueViolationError):
            return await write()
    return await write()


_statements = lru_cache(maxsize=STATEMENTS_CACHED_MAX)(commit_statements)


def _table(page: PageWrite) -> EntityTable:
    return entity_table(page.run.adapter, page.entity)


async def _keep_settings(connection: object) -> None:
    """Save the reset of a released connection: no session changes a setting."""
