"""The sink in SQLite: a file that several processes share. Calls run in one thread, one after another.

The tasks bound the number of waiting calls: each task waits for its own.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from agents.ports import ClosedRun, LeaseRequest, LeaseState, PageOutcome, PageWrite, Parent, RunEnd
from manifests.entity import Adapter, Entity
from service.clock import Clock
from service.sinks.group import DataRefused, one_row, rejection_places, write_group
from service.sinks.parents import PARENTS_READ_MAX, column_types, iso, parent
from service.sinks.schema import entity_table, entity_tables
from service.sinks.sqlite.connection import attempt, connect, transaction, translate, translated
from service.sinks.sqlite.rows import SQL, stored_rows, upsert
from service.sinks.sqlite.runs import close_run, lease_state, line_of, open_run, run_state
from service.sinks.sqlite.tables import create_tables, migrate

R = TypeVar("R")


class SqliteSink:
    """Opens the file at the first call. Its connection is used in one thread only."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sluice-sqlite")
        self._opened: sqlite3.Connection | None = None

    async def prepare(self, adapter: Adapter) -> None:
        def call(connection: sqlite3.Connection) -> None:
            migrate(connection, self._clock, f"the SQLite file {self._path}")
            create_tables(connection, entity_tables(adapter))

        await self._run(call)

    async def open_leases(self, requests: Sequence[LeaseRequest]) -> Sequence[LeaseState]:
        return await self._run(lambda connection: self._open_leases(connection, requests))

    async def commit(self, pages: Sequence[PageWrite]) -> Sequence[PageOutcome]:
        return await write_group(self, pages)

    async def write(self, pages: Sequence[PageWrite]) -> Sequence[PageOutcome]:
        def call(connection: sqlite3.Connection) -> list[PageOutcome]:
            with transaction(connection):
                return [self._write(connection, page) for page in pages]

        return await self._run(call)

    async def refused_rows(self, page: PageWrite) -> Mapping[int, str]:
        return await self._run(lambda connection: self._refused_rows(connection, page))

    async def parents(
        self, adapter: str, entity: Entity, org: str, columns: Sequence[str], after: str | None, limit: int
    ) -> Sequence[Parent]:
        table = entity_table(adapter, entity)
        types = column_types(table, columns)
        named = "".join(f', "{name}"' for name in types)
        query = SQL["parents"].format(columns=named, table=table.name)
        arguments = (org, after or "", min(limit, PARENTS_READ_MAX))
        found = await self._run(lambda connection: connection.execute(query, arguments).fetchall())
        return [parent(row[0], types, row[1:]) for row in found]

    async def count(self, adapter: str, entity: Entity, org: str) -> int:
        query = SQL["count"].format(table=entity_table(adapter, entity).name)
        return int(await self._run(lambda connection: connection.execute(query, (org,)).fetchone()[0]))

    async def close_runs(self, ends: Sequence[RunEnd]) -> Sequence[ClosedRun]:
        def call(connection: sqlite3.Connection) -> list[ClosedRun]:
            with transaction(connection):
                return [close_run(connection, end, self._now()) for end in ends]

        return await self._run(call)

    async def close(self) -> None:
        def call() -> None:
            if self._opened is not None:
                self._opened.close()
                self._opened = None

        await asyncio.get_running_loop().run_in_executor(self._thread, call)
        self._thread.shutdown()

    def _open_leases(self, connection: sqlite3.Connection, requests: Sequence[LeaseRequest]) -> list[LeaseState]:
        unknown = [request.run for request in requests if run_state(connection, request.run) is None]
        if unknown:
            with transaction(connection):
                for run in sorted(unknown, key=lambda run: run.number, reverse=True):
                    open_run(connection, run, self._now())
        connection.execute("begin")
        try:
            return [lease_state(connection, request) for request in requests]
        finally:
            connection.rollback()

    def _write(self, connection: sqlite3.Connection, page: PageWrite) -> PageOutcome:
        run, now = page.run, self._now()
        if run_state(connection, run) != "open":
            return PageOutcome("fenced")
        known = line_of(connection, run, page.parent, page.page)
        if known is not None:
            return PageOutcome("already", known.counts, known.is_last, known.next_cursor)
        counts = page.counts
        line = (run.id, page.parent, page.page, counts.records, counts.rejected, page.is_last, page.next_cursor, now)
        connection.execute(SQL["insert_line"], line)
        connection.executemany(upsert(entity_table(run.adapter, page.entity)), stored_rows(page))
        owner = (run.org, run.adapter, run.entity)
        connection.executemany(
            SQL["insert_rejected"],
            (
                (*owner, record.key, place, run.id, page.parent, page.page, record.reason, record.raw, now)
                for record, place in zip(page.rejected, rejection_places(page), strict=True)
            ),
        )
        return PageOutcome("committed", counts, page.is_last, page.next_cursor)

    def _refused_rows(self, connection: sqlite3.Connection, page: PageWrite) -> dict[int, str]:
        refused: dict[int, str] = {}
        with attempt(connection):
            for position in range(len(page.rows)):
                connection.execute("savepoint one_row")
                try:
                    self._write(connection, one_row(page, position))
                except (sqlite3.Error, OverflowError, UnicodeEncodeError) as error:
                    problem = translate(error, self._path)
                    if not isinstance(problem, DataRefused):
                        raise
                    refused[position] = str(problem)
                    connection.execute("rollback to one_row")
                connection.execute("release one_row")
        return refused

    def _now(self) -> str:
        return iso(self._clock.now())

    async def _run(self, call: Callable[[sqlite3.Connection], R]) -> R:
        def in_thread() -> R:
            if self._opened is None:
                self._opened = connect(self._path)
            with translated(self._path):
                return call(self._opened)

        return await asyncio.get_running_loop().run_in_executor(self._thread, in_thread)
