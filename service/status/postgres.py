"""Published state in PostgreSQL, the same database that the sink writes."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import asyncpg

from service.clock import Clock
from service.sinks.postgres.errors import translated
from service.sinks.postgres.tables import Connection, migrate
from service.status import statements
from service.status.rows import StatusRows
from service.status.store import Published, PublishedEntity, TimelineEntry, read_entity, read_sync

POOL_CONNECTIONS_MAX = 2
TIMEOUT_SECONDS = 30
# As the columns are in 002_status.sql; whatever is not here is text.
_TYPES = {
    "started_at": "timestamptz",
    "ended_at": "timestamptz",
    "at": "timestamptz",
    "units": "bigint",
    "total_units": "bigint",
    "pages": "bigint",
    "records": "bigint",
    "rejected": "bigint",
    "generation": "bigint",
    "seq": "bigint",
    "state": "jsonb",
}


def _arrays(columns: Sequence[str]) -> str:
    """All rows at once: one array a column."""
    typed = (f"${number}::{_TYPES.get(column, 'text')}[]" for number, column in enumerate(columns, start=1))
    return f"select * from unnest({', '.join(typed)})"


UPSERT_SYNCS = statements.upsert_syncs(_arrays)
UPSERT_ENTITIES = statements.upsert_entities(_arrays)
INSERT_TIMELINE = statements.insert_timeline(_arrays)
SUPERSEDE = {table: statements.supersede(table, "workflow = any($1::text[])") for table in statements.RUN_TABLES}


class PostgresStatus:
    """Connects when it is first asked, and again after a connection was lost. `database` names it in errors."""

    def __init__(self, dsn: str, clock: Clock, database: str) -> None:
        self._clock = clock
        self._database = database
        self._pool: asyncpg.Pool[asyncpg.Record] = asyncpg.create_pool(
            dsn,
            min_size=0,
            max_size=POOL_CONNECTIONS_MAX,
            timeout=TIMEOUT_SECONDS,
            command_timeout=TIMEOUT_SECONDS,
            server_settings={"application_name": "sluice-status"},
        )

    async def prepare(self) -> None:
        async with self._connection() as connection:
            await migrate(connection, self._clock, self._database)

    async def publish(self, rows: StatusRows) -> None:
        async with self._connection() as connection, connection.transaction():
            for statement, values in (
                (UPSERT_SYNCS, rows.syncs),
                (UPSERT_ENTITIES, rows.entities),
                (INSERT_TIMELINE, rows.timeline),
            ):
                if values:
                    await connection.execute(statement, *zip(*values, strict=True))
            for table, workflows in rows.workflows.items():
                if workflows:
                    await connection.execute(SUPERSEDE[table], workflows)

    async def syncs(self, name: str = "") -> Sequence[Published]:
        if name:
            found = await self._query(statements.select_syncs(_placeholder), name)
        else:
            found = await self._query(statements.select_newest_syncs())
        return [read_sync(row["state"], row["seq"]) for row in found]

    async def entities(self, sync_run_id: str) -> Sequence[PublishedEntity]:
        found = await self._query(statements.select_entities(_placeholder), sync_run_id)
        return [read_entity(row["state"], row["seq"]) for row in found]

    async def timeline(self, workflow: str) -> Sequence[TimelineEntry]:
        found = await self._query(statements.select_timeline(_placeholder), workflow)
        return [TimelineEntry(*row) for row in found]

    async def close(self) -> None:
        await self._pool
        await self._pool.close()

    async def _query(self, statement: str, *arguments: str) -> list[asyncpg.Record]:
        async with self._connection() as connection:
            return await connection.fetch(statement, *arguments)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        with translated(self._database):
            await self._pool
            async with self._pool.acquire(timeout=TIMEOUT_SECONDS) as connection:
                yield connection


def _placeholder(number: int) -> str:
    return f"${number}"
