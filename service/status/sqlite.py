"""Published state in a SQLite file, the same one that the sink writes."""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from service.clock import Clock
from service.sinks.migrations import NotPrepared
from service.sinks.parents import iso
from service.sinks.sqlite.connection import connect, transaction, translated
from service.sinks.sqlite.tables import migrate
from service.status import statements
from service.status.rows import StatusRows, Values
from service.status.store import Published, PublishedEntity, TimelineEntry, read_entity, read_sync

R = TypeVar("R")


class SqliteStatus:
    """Opens the file when it is first asked. The connection never leaves its thread."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sluice-status")
        self._opened: sqlite3.Connection | None = None

    async def prepare(self) -> None:
        def call(connection: sqlite3.Connection) -> None:
            migrate(connection, self._clock, f"the SQLite file {self._path}")

        await self._run(call, may_create=True)

    async def publish(self, rows: StatusRows) -> None:
        def call(connection: sqlite3.Connection) -> None:
            with transaction(connection):
                connection.executemany(statements.upsert_syncs(_values), map(_named, rows.syncs))
                connection.executemany(statements.upsert_entities(_values), map(_named, rows.entities))
                connection.executemany(statements.insert_timeline(_values), map(_named, rows.timeline))
                for table, workflows in rows.workflows.items():
                    connection.executemany(statements.supersede(table, "workflow = ?"), [(key,) for key in workflows])

        await self._run(call)

    async def syncs(self, name: str = "") -> Sequence[Published]:
        if name:
            found = await self._query(statements.select_syncs(_placeholder), name)
        else:
            found = await self._query(statements.select_newest_syncs())
        return [read_sync(state, seq) for state, _, seq in found]

    async def entities(self, sync_run_id: str) -> Sequence[PublishedEntity]:
        found = await self._query(statements.select_entities(_placeholder), sync_run_id)
        return [read_entity(state, seq) for state, _, seq in found]

    async def timeline(self, workflow: str) -> Sequence[TimelineEntry]:
        found = await self._query(statements.select_timeline(_placeholder), workflow)
        return [TimelineEntry(seq, datetime.fromisoformat(at), cause, note) for seq, at, cause, note in found]

    async def close(self) -> None:
        def call(connection: sqlite3.Connection) -> None:
            connection.close()

        if self._opened is not None:
            await self._run(call)
        self._thread.shutdown()

    async def _query(self, statement: str, *arguments: str) -> list[tuple[Any, ...]]:
        return await self._run(lambda connection: connection.execute(statement, _named(arguments)).fetchall())

    async def _run(self, call: Callable[[sqlite3.Connection], R], may_create: bool = False) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._call, call, may_create)

    def _call(self, call: Callable[[sqlite3.Connection], R], may_create: bool) -> R:
        if not may_create and not self._path.exists():
            raise NotPrepared(f"the SQLite file {self._path} does not exist yet")
        with translated(self._path):
            if self._opened is None:
                self._opened = connect(self._path)
            return call(self._opened)


def _placeholder(number: int) -> str:
    return f":p{number}"


def _values(columns: Sequence[str]) -> str:
    return f"values ({', '.join(_placeholder(number) for number in range(1, len(columns) + 1))})"


def _named(values: Values) -> dict[str, object]:
    """The values by the names of their placeholders, times as SQLite stores them."""
    stored = (iso(value) if isinstance(value, datetime) else value for value in values)
    return {f"p{number}": value for number, value in enumerate(stored, start=1)}
