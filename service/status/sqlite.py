"""Published state in SQLite, in the file of the sink."""

import sqlite3
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from agents.core.registry import Registry
from service.clock import Clock
from service.sinks.migrations import NotPrepared
from service.sinks.schema import iso
from service.sinks.sqlite.connection import SqliteFile, transaction
from service.sinks.sqlite.tables import migrate
from service.sql import read_statements
from service.status.rows import StatusRows, Values
from service.status.store import RUNS_COMPARED_MAX, StatusStore

_SQL = read_statements("service.status", "sqlite.sql")


class SqliteStatus(StatusStore):
    """Readers do not create the file."""

    def __init__(self, path: Path, clock: Clock, registry: Registry) -> None:
        super().__init__(registry)
        self._file = SqliteFile(path)
        self._clock = clock

    async def prepare(self) -> None:
        await self._file.run(lambda connection: migrate(connection, self._clock, f"the SQLite file {self._file.path}"))

    async def publish(self, rows: StatusRows) -> None:
        def call(connection: sqlite3.Connection) -> None:
            with transaction(connection):
                connection.executemany(_SQL["upsert_runs"], map(_stored, rows.runs))
                connection.executemany(_SQL["insert_timeline"], map(_stored, rows.timeline))
                named = zip(rows.workflows, rows.run_ids, strict=True)
                written = [{"workflow": key, "run_id": run, "runs": RUNS_COMPARED_MAX} for key, run in named]
                connection.executemany(_SQL["supersede"], written)

        await self._file.run(call)

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


def _stored(values: Values) -> tuple[object, ...]:
    """The values with times as SQLite stores them."""
    return tuple(iso(value) if isinstance(value, datetime) else value for value in values)
