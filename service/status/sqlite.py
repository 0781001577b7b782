"""Published state in SQLite, in the file of the sink."""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from agents.core.registry import Registry
from service.clock import Clock
from service.sinks.migrations import NotPrepared
from service.sinks.parents import iso
from service.sinks.sqlite.connection import connect, transaction, translated
from service.sinks.sqlite.tables import migrate
from service.sql import read_statements
from service.status.rows import StatusRows, Values
from service.status.store import LISTED_MAX, TimelineEntry, read_state

R = TypeVar("R")
_SQL = read_statements("service.status", "sqlite.sql")


class SqliteStatus:
    """Opens the file at the first call. Its connection is used in one thread only."""

    def __init__(self, path: Path, clock: Clock, registry: Registry) -> None:
        self._path = path
        self._clock = clock
        self._registry = registry
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sluice-status")
        self._opened: sqlite3.Connection | None = None

    async def prepare(self) -> None:
        def call(connection: sqlite3.Connection) -> None:
            migrate(connection, self._clock, f"the SQLite file {self._path}")

        await self._run(call, may_create=True)

    async def publish(self, rows: StatusRows) -> None:
        def call(connection: sqlite3.Connection) -> None:
            with transaction(connection):
                connection.executemany(_SQL["upsert_runs"], map(_stored, rows.runs))
                connection.executemany(_SQL["insert_timeline"], map(_stored, rows.timeline))
                connection.executemany(_SQL["supersede"], [{"workflow": key} for key in rows.workflows])

        await self._run(call)

    async def runs(self, kind: str, name: str = "") -> Sequence[Any]:
        if name:
            return await self._states("named_runs", kind, LISTED_MAX, name)
        return await self._states("newest_runs", kind, LISTED_MAX)

    async def children(self, run_id: str) -> Sequence[Any]:
        return await self._states("children", run_id)

    async def timeline(self, workflow: str) -> Sequence[TimelineEntry]:
        found = await self._query("timeline", workflow, LISTED_MAX)
        return [TimelineEntry(seq, datetime.fromisoformat(at), *rest) for seq, at, *rest in found]

    async def close(self) -> None:
        def call(connection: sqlite3.Connection) -> None:
            connection.close()

        if self._opened is not None:
            await self._run(call)
        self._thread.shutdown()

    async def _states(self, statement: str, *arguments: object) -> list[Any]:
        return [read_state(self._registry, state) for (state,) in await self._query(statement, *arguments)]

    async def _query(self, statement: str, *arguments: object) -> list[tuple[Any, ...]]:
        return await self._run(lambda connection: connection.execute(_SQL[statement], arguments).fetchall())

    async def _run(self, call: Callable[[sqlite3.Connection], R], may_create: bool = False) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._call, call, may_create)

    def _call(self, call: Callable[[sqlite3.Connection], R], may_create: bool) -> R:
        if not may_create and not self._path.exists():
            raise NotPrepared(f"the SQLite file {self._path} does not exist yet: start a projector to create it")
        with translated(self._path):
            if self._opened is None:
                self._opened = connect(self._path)
            return call(self._opened)


def _stored(values: Values) -> tuple[object, ...]:
    """The values with times as SQLite stores them."""
    return tuple(iso(value) if isinstance(value, datetime) else value for value in values)
