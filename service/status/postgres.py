"""Published state in PostgreSQL, in the database of the sink."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from agents import concurrency
from agents.core.registry import Registry
from service.clock import Clock
from service.sinks.postgres.errors import translated
from service.sinks.postgres.tables import Connection, migrate
from service.sql import read_statements
from service.status.rows import StatusRows
from service.status.store import LISTED_MAX, TimelineEntry, read_state

TIMEOUT_SECONDS = 30
_SQL = read_statements("service.status", "postgres.sql")


class PostgresStatus:
    """Connects at the first call, and again after a lost connection. `database` is its name in errors."""

    def __init__(self, dsn: str, clock: Clock, registry: Registry, database: str) -> None:
        self._clock = clock
        self._registry = registry
        self._database = database
        self._pool: asyncpg.Pool[asyncpg.Record] = asyncpg.create_pool(
            dsn,
            min_size=0,
            max_size=concurrency.STATUS_CONNECTIONS,
            timeout=TIMEOUT_SECONDS,
            command_timeout=TIMEOUT_SECONDS,
            server_settings={"application_name": "sluice-status"},
        )

    async def prepare(self) -> None:
        async with self._connection() as connection:
            await migrate(connection, self._clock, self._database)

    async def publish(self, rows: StatusRows) -> None:
        async with self._connection() as connection, connection.transaction():
            if rows.runs:
                await connection.execute(_SQL["upsert_runs"], *zip(*rows.runs, strict=True))
            if rows.timeline:
                await connection.execute(_SQL["insert_timeline"], *zip(*rows.timeline, strict=True))
            await connection.execute(_SQL["supersede"], rows.workflows)

    async def runs(self, kind: str, name: str = "") -> Sequence[Any]:
        if name:
            return await self._states("named_runs", kind, LISTED_MAX, name)
        return await self._states("newest_runs", kind, LISTED_MAX)

    async def children(self, run_id: str) -> Sequence[Any]:
        return await self._states("children", run_id)

    async def timeline(self, workflow: str) -> Sequence[TimelineEntry]:
        async with self._connection() as connection:
            return [TimelineEntry(*row) for row in await connection.fetch(_SQL["timeline"], workflow, LISTED_MAX)]

    async def close(self) -> None:
        await self._pool
        await self._pool.close()

    async def _states(self, statement: str, *arguments: object) -> list[Any]:
        async with self._connection() as connection:
            found = await connection.fetch(_SQL[statement], *arguments)
        return [read_state(self._registry, row["state"]) for row in found]

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        with translated(self._database):
            await self._pool
            async with self._pool.acquire(timeout=TIMEOUT_SECONDS) as connection:
                yield connection
