"""The sink in SQLite: a file that several processes share."""

import sqlite3
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from msgspec.structs import astuple, replace

from agents.ports import ClosedRun, LeaseRequest, LeaseState, PageOutcome, PageWrite, RunEnd, RunRef
from manifests.entity import Adapter
from service.clock import Clock
from service.sinks.reconciling import ReconcilingSink
from service.sinks.schema import Correction, entity_table, entity_tables, iso
from service.sinks.sink import DataRefused, Statement, compares, one_row, rejection_places
from service.sinks.sqlite.connection import SqliteFile, transaction, translated
from service.sinks.sqlite.rows import SQL, collisions, seeing, seen_rows, stored_rows, upsert
from service.sinks.sqlite.runs import close_run, ignore_watermark, lease_state, line_of, open_run, run_state
from service.sinks.sqlite.tables import correct, corrections, create_tables, migrate
from topics.command import Counts
from topics.errors import SluiceError


class SqliteSink(ReconcilingSink):
    sql = SQL

    def __init__(self, path: Path, clock: Clock) -> None:
        self._file = SqliteFile(path)
        self.clock = clock

    async def prepare(self, adapter: Adapter) -> Mapping[str, SluiceError]:
        def call(connection: sqlite3.Connection) -> dict[str, SluiceError]:
            migrate(connection, self.clock, f"the SQLite file {self._file.path}")
            return create_tables(connection, entity_tables(adapter))

        return await self._file.run(call)

    async def dangers(self) -> Sequence[str]:
        """None: its own settings are made for each connection."""
        return ()

    async def corrections(self, adapter: Adapter) -> Sequence[Correction]:
        return await self._file.run(lambda connection: corrections(connection, entity_tables(adapter).values()))

    async def correct(self, correction: Correction) -> None:
        await self._file.run(lambda connection: correct(connection, correction))

    async def open_leases(self, requests: Sequence[LeaseRequest]) -> Sequence[LeaseState]:
        return await self._file.run(lambda connection: self._open_leases(connection, requests))

    async def write(self, pages: Sequence[PageWrite]) -> Sequence[PageOutcome]:
        def call(connection: sqlite3.Connection) -> list[PageOutcome]:
            with transaction(connection):
                return [self._write_page(connection, page) for page in pages]

        return await self._file.run(call)

    async def refused_rows(self, page: PageWrite) -> Mapping[int, str]:
        return await self._file.run(lambda connection: self._refused_rows(connection, page))

    async def fetch(self, query: str, *arguments: object) -> Sequence[tuple[Any, ...]]:
        return await self._file.run(lambda connection: connection.execute(query, arguments).fetchall())

    async def transact(
        self, statements: Sequence[Statement], conditions: Sequence[Statement] = ()
    ) -> list[Sequence[tuple[Any, ...]]]:
        def call(connection: sqlite3.Connection) -> list[Sequence[tuple[Any, ...]]]:
            with transaction(connection):
                if not all(connection.execute(*one).fetchall() for one in conditions):
                    return []
                return [connection.execute(*one).fetchall() for one in statements]

        return await self._file.run(call)

    def moment(self, at: datetime) -> object:
        return iso(at)

    async def close_runs(self, ends: Sequence[RunEnd]) -> Sequence[ClosedRun | None]:
        def call(connection: sqlite3.Connection) -> list[ClosedRun | None]:
            with transaction(connection):
                return [close_run(connection, end, self._now()) for end in ends]

        return await self._file.run(call)

    async def ignore_watermark(self, run: RunRef) -> None:
        def call(connection: sqlite3.Connection) -> None:
            with transaction(connection):
                ignore_watermark(connection, run, self._now())

        await self._file.run(call)

    async def close(self) -> None:
        await self._file.close()

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

    def _write_page(self, connection: sqlite3.Connection, page: PageWrite) -> PageOutcome:
        run, now = page.run, self._now()
        if run_state(connection, run) != "open":
            return PageOutcome("fenced")
        known = line_of(connection, run, page.parent, page.page)
        if known is not None:
            return PageOutcome("already", known.counts, known.is_last, known.next_cursor)
        table, met = entity_table(run.adapter, page.entity), collisions(connection, page)
        counts = Counts(1, len(page.rows) - len(met), len(page.rejected) + len(met))
        line = (run.id, page.parent, page.page, counts.records, counts.rejected, page.is_last, page.next_cursor, now)
        connection.execute(SQL["insert_line"], (*line, *astuple(page.extent)))
        if compares(run):
            connection.executemany(seeing(table), seen_rows(page))
        if not run.verify:
            connection.executemany(upsert(table), stored_rows(page))
            self._set_aside(connection, replace(page, rejected=(*met, *page.rejected)))
        return PageOutcome("committed", counts, page.is_last, page.next_cursor)

    def _set_aside(self, connection: sqlite3.Connection, page: PageWrite) -> None:
        """The page's rejected records get their lines; those that are stored again lose theirs."""
        run, now = page.run, self._now()
        owner = (run.org, run.adapter, run.entity)
        if connection.execute(SQL["has_rejected"], owner).fetchone() == (True,):
            rejected = {record.key for record in page.rejected}
            stored = ((*owner, row.key) for row in page.rows if row.key not in rejected)
            connection.executemany(SQL["clear_rejected"], stored)
        connection.executemany(
            SQL["insert_rejected"],
            (
                (*owner, record.key, place, run.id, page.parent, page.page, record.reason, record.raw, now)
                for record, place in zip(page.rejected, rejection_places(page), strict=True)
            ),
        )

    def _refused_rows(self, connection: sqlite3.Connection, page: PageWrite) -> dict[int, str]:
        refused: dict[int, str] = {}
        with transaction(connection, is_kept=False):
            for position in range(len(page.rows)):
                connection.execute("savepoint one_row")
                try:
                    with translated(self._file.path):
                        self._write_page(connection, one_row(page, position))
                except DataRefused as problem:
                    refused[position] = str(problem)
                    connection.execute("rollback to one_row")
                connection.execute("release one_row")
        return refused

    def _now(self) -> str:
        return iso(self.clock.now())
