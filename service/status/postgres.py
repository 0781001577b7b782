"""Published state in PostgreSQL, in the database of the sink."""

from collections.abc import Mapping, Sequence
from typing import Any

from agents import concurrency
from agents.core.registry import Registry
from service.clock import Clock
from service.kafka.journal import Journal
from service.sinks.postgres.connection import DURABLE, Connection, Pool
from service.sinks.postgres.tables import migrate
from service.sql import read_statements
from service.status.progress import Progress, Step
from service.status.rows import StatusRows
from service.status.store import LOST_READ_MAX, RUNS_COMPARED_MAX, Met, StatusStore

TIMEOUT_SECONDS = 30
# All access is by key or by time: a plan made for a small table must not scan the table once it has grown.
SESSION = {"application_name": "sluice-status", "enable_seqscan": "off", "jit": "off", **DURABLE}
_SQL = read_statements("service.status", "postgres.sql")


class PostgresStatus(StatusStore):
    def __init__(self, dsn: str, clock: Clock, registry: Registry) -> None:
        super().__init__(registry, clock)
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

    async def meet(self, journal: Journal) -> Met:
        async with self._pool.connection() as connection, connection.transaction():
            await connection.execute(_SQL["lock_journals"])
            present = await connection.fetchrow(_SQL["present_journal"])
            number, former = (present["number"], Journal(*present[1:])) if present else (0, None)
            if former == journal:
                return Met(number)
            await connection.execute(_SQL["insert_journal"], number + 1, *journal, self._clock.now())
            lost: list[Any] = []
            while found := await connection.fetch(_SQL["open_runs"], number + 1, LOST_READ_MAX):
                lost += (states := self._states(tuple(row) for row in found))
                await self._publish(connection, self._lost(states), number + 1)
        return Met(number + 1, former, tuple(lost))

    async def progress(self, journal: int, partitions: Sequence[int]) -> Mapping[int, Progress]:
        async with self._pool.connection() as connection:
            await connection.execute(_SQL["begin_progress"], journal, partitions)
            found = await connection.fetch(_SQL["progress"], journal, partitions)
        return {partition: Progress(*reached) for partition, *reached in found}

    async def publish(
        self, rows: StatusRows, journal: int, steps: Sequence[Step] = (), suspects: Sequence[object] = ()
    ) -> Sequence[str] | None:
        async with self._pool.connection() as connection, connection.transaction():
            if steps and not await self._advance(connection, journal, steps):
                return None
            await self._publish(connection, rows, journal)
            missing = await connection.fetch(_SQL["mark_missing"], suspects) if suspects else ()
        return [run for (run,) in missing]

    async def _advance(self, connection: Connection, journal: int, steps: Sequence[Step]) -> bool:
        partitions = [step.partition for step in steps]
        locked = await connection.fetch(_SQL["lock_progress"], journal, partitions)
        stored = {partition: next_offset for partition, next_offset in locked}
        if any(stored.get(step.partition) != step.before.next_offset for step in steps):
            return False
        reached = zip(*(step.after for step in steps), strict=True)
        await connection.execute(_SQL["advance"], journal, partitions, *reached)
        return True

    async def _publish(self, connection: Connection, rows: StatusRows, journal: int) -> None:
        if rows.runs:
            await connection.execute(_SQL["upsert_runs"], journal, *zip(*rows.runs, strict=True))
        if rows.timeline:
            await connection.execute(_SQL["insert_timeline"], journal, *zip(*rows.timeline, strict=True))
        await connection.execute(_SQL["supersede"], rows.workflows, rows.run_ids, RUNS_COMPARED_MAX)
        if rows.retired:
            await connection.execute(_SQL["retire"], journal, *zip(*rows.retired, strict=True))

    async def close(self) -> None:
        await self._pool.close()

    async def _fetch(self, statement: str, *arguments: object) -> Sequence[tuple[Any, ...]]:
        return await self._pool.fetch(_SQL[statement], *arguments)

    async def _remove(self, statement: str, *arguments: object) -> int:
        async with self._pool.connection() as connection:
            done = await connection.execute(_SQL[statement], *arguments)
        return int(done.removeprefix("DELETE "))
