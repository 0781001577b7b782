"""Published state in SQLite, in the file of the sink."""

import sqlite3
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from agents.core.registry import Registry
from service.clock import Clock
from service.kafka.journal import Journal
from service.sinks.migrations import NotPrepared
from service.sinks.schema import iso
from service.sinks.sqlite.connection import SqliteFile, transaction
from service.sinks.sqlite.tables import migrate
from service.sql import read_statements
from service.status.progress import Progress, Step
from service.status.rows import StatusRows, Values
from service.status.store import LOST_READ_MAX, RUNS_COMPARED_MAX, Met, StatusStore

_SQL = read_statements("service.status", "sqlite.sql")


class SqliteStatus(StatusStore):
    """Readers do not create the file."""

    def __init__(self, path: Path, clock: Clock, registry: Registry) -> None:
        super().__init__(registry, clock)
        self._file = SqliteFile(path)

    async def prepare(self) -> None:
        await self._file.run(lambda connection: migrate(connection, self._clock, f"the SQLite file {self._file.path}"))

    async def meet(self, journal: Journal) -> Met:
        def call(connection: sqlite3.Connection) -> Met:
            with transaction(connection):
                number, *former = connection.execute(_SQL["present_journal"]).fetchone() or (0,)
                if former == [*journal]:
                    return Met(number)
                named = (number + 1, *journal, iso(self._clock.now()))
                connection.execute(_SQL["insert_journal"], named)
                lost: list[Any] = []
                while found := connection.execute(_SQL["open_runs"], (number + 1, LOST_READ_MAX)).fetchall():
                    lost += (states := self._states(found))
                    _publish(connection, self._lost(states), number + 1)
                return Met(number + 1, Journal(*former) if former else None, tuple(lost))

        return await self._file.run(call)

    async def progress(self, journal: int, partitions: Sequence[int]) -> Mapping[int, Progress]:
        def call(connection: sqlite3.Connection) -> dict[int, Progress]:
            found = {}
            with transaction(connection):
                for partition in partitions:
                    connection.execute(_SQL["begin_progress"], (journal, partition))
                    reached = connection.execute(_SQL["progress"], (journal, partition)).fetchone()
                    found[partition] = Progress(*reached)
            return found

        return await self._file.run(call)

    async def publish(
        self, rows: StatusRows, journal: int, steps: Sequence[Step] = (), suspects: Sequence[object] = ()
    ) -> Sequence[str] | None:
        def call(connection: sqlite3.Connection) -> list[str] | None:
            with transaction(connection):
                for partition, before, _ in steps:
                    stored = connection.execute(_SQL["progress"], (journal, partition)).fetchone()
                    if stored is None or stored[0] != before.next_offset:
                        return None
                connection.executemany(_SQL["advance"], [(*one.after, journal, one.partition) for one in steps])
                _publish(connection, rows, journal)
                return [str(run) for run in suspects if connection.execute(_SQL["mark_missing"], (run,)).rowcount]

        return await self._file.run(call)

    async def close(self) -> None:
        await self._file.close()

    async def _fetch(self, statement: str, *arguments: object) -> Sequence[tuple[Any, ...]]:
        path = self._file.path
        if not path.exists():
            raise NotPrepared(f"the SQLite file {path} does not exist yet: start a projector to create it")
        stored = _stored(arguments)
        return await self._file.run(lambda connection: connection.execute(_SQL[statement], stored).fetchall())

    async def _remove(self, statement: str, *arguments: object) -> int:
        def call(connection: sqlite3.Connection) -> int:
            with transaction(connection):
                return connection.execute(_SQL[statement], _stored(arguments)).rowcount

        return await self._file.run(call)


def _publish(connection: sqlite3.Connection, rows: StatusRows, journal: int) -> None:
    connection.executemany(_SQL["upsert_runs"], [_stored((*values, journal)) for values in rows.runs])
    connection.executemany(_SQL["insert_timeline"], [_stored((*values, journal)) for values in rows.timeline])
    named = zip(rows.workflows, rows.run_ids, strict=True)
    written = [{"workflow": key, "run_id": run, "runs": RUNS_COMPARED_MAX} for key, run in named]
    connection.executemany(_SQL["supersede"], written)
    connection.executemany(_SQL["retire"], [(key, journal, *guard) for key, *guard in rows.retired])


def _stored(values: Values) -> tuple[object, ...]:
    """The values with times as SQLite stores them."""
    return tuple(iso(value) if isinstance(value, datetime) else value for value in values)
