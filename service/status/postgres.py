"""Published state in PostgreSQL, in the database of the sink."""

from collections.abc import Sequence
from typing import Any

from agents import concurrency
from agents.core.registry import Registry
from service.clock import Clock
from service.sinks.postgres.connection import DURABLE, Pool
from service.sinks.postgres.tables import migrate
from service.sql import read_statements
from service.status.rows import StatusRows
from service.status.store import RUNS_COMPARED_MAX, StatusStore

TIMEOUT_SECONDS = 30
# All access is by key or by time: a plan made for a small table must not scan the table once it has grown.
SESSION = {"application_name": "sluice-status", "enable_seqscan": "off", "jit": "off", **DURABLE}
_SQL = read_statements("service.status", "postgres.sql")


class PostgresStatus(StatusStore):
    def __init__(self, dsn: str, clock: Clock, registry: Registry) -> None:
        super().__init__(registry)
        self._clock = clock
        self._pool = Pool(
            dsn,
            TIMEOUT_SECONDS,
            max_size=concurrency.STATUS_CONNECTIONS,
            timeout=TIMEOUT_SECONDS,
            command_timeout=TIMEOUT_SECONDS,
            server_settings=SESSION,
        )

    async def prepare(self) -> None:
        async with self._pool.connection() as connection:
            await migrate(connection, self._clock, self._pool.database)

    async def publish(self, rows: StatusRows) -> None:
        async with self._pool.connection() as connection, connection.transaction():
            if rows.runs:
                await connection.execute(_SQL["upsert_runs"], *zip(*rows.runs, strict=True))
            if rows.timeline:
                await connection.execute(_SQL["insert_timeline"], *zip(*rows.timeline, strict=True))
            await connection.execute(_SQL["supersede"], rows.workflows, rows.run_ids, RUNS_COMPARED_MAX)

    async def close(self) -> None:
        await self._pool.close()

    async def _fetch(self, statement: str, *arguments: object) -> Sequence[tuple[Any, ...]]:
        return await self._pool.fetch(_SQL[statement], *arguments)

    async def _remove(self, statement: str, *arguments: object) -> int:
        async with self._pool.connection() as connection:
            done = await connection.execute(_SQL[statement], *arguments)
        return int(done.removeprefix("DELETE "))
