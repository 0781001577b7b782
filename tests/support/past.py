"""A database with a long past: published runs, their timelines and their fences, as a sync a day leaves them."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

import asyncpg

from agents.kinds import SHIPPED
from service.sinks.schema import iso
from service.status.rows import RUN_COLUMNS, Values, status_rows, timeline_values, when
from tables.kinds.entity import EntityState
from tables.kinds.sync import Child, SyncState
from tables.row import HistoryEntry, Row
from tests.support.published import journal_record
from topics.catalog import DAY_MS
from topics.ids import run_id
from topics.kinds import entity

RUN_MS = 600_000
PAGES, RECORDS = 9, 900
ROWS_PER_INSERT = 20_000
JOURNAL = 1  # the first that a database meets
TABLES: dict[str, Sequence[str]] = {
    "sluice_workflow_runs": (*RUN_COLUMNS, "journal"),
    "sluice_timeline": ("workflow", "at", "seq", "cause", "event", "request_id", "run_id"),
    "sluice_runs": (
        "run_id", "workflow", "number", "org", "adapter", "entity", "type", "state", "opened_at", "closed_at", "pages",
        "records", "rejected",
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Past:
    """Each organisation has had so many `syncs`, one a day, the last a day before `now` (Unix ms). All are done.

    A sync is a run of itself and of each entity. Each run has `events` entries in its workflow's timeline.
    """

    now: int
    orgs: int
    syncs: int
    entities: int
    events: int

    @property
    def runs(self) -> int:
        return self.orgs * self.syncs * (1 + self.entities)

    def sync(self, org: int, number: int) -> SyncState:
        """The sync of this number, from 0."""
        at, name = self.now - (self.syncs - number) * DAY_MS, f"org-{org}"
        children = {entity: _child(name, entity, at) for entity in self._names()}
        request = f"request-{org}-{number}"
        return SyncState(name, "pco", "full", at, request, at, "done", ended_at=at + RUN_MS, children=children)

    def entity_runs(self, sync: SyncState) -> list[EntityState]:
        return [
            EntityState(
                sync.org, "pco", name, "full", "fan-out", sync.key, sync.run, sync.run, sync.started_at, "done",
                ended_at=sync.ended_at, next_unit=PAGES + 1, units=PAGES, pages=PAGES, records=RECORDS, last_unit=PAGES,
            )
            for name in self._names()
        ]  # fmt: skip

    def rows(self, table: str) -> Iterator[Values]:
        """All rows of a table, in the order of its columns."""
        for org in range(self.orgs):
            for number in range(self.syncs):
                sync = self.sync(org, number)
                states: list[SyncState | EntityState] = [sync, *self.entity_runs(sync)]
                match table:
                    case "sluice_workflow_runs":
                        rows = [journal_record(Row[Any](epoch=1, seq=state.run, state=state)) for state in states]
                        yield from ((*values, JOURNAL) for values in status_rows(SHIPPED, rows).runs)
                    case "sluice_timeline":
                        yield from (values for state in states for values in self._timeline(state))
                    case "sluice_runs":
                        yield from map(_fence, self.entity_runs(sync))

    def _names(self) -> list[str]:
        return [f"people.entity_{number:02}" for number in range(self.entities)]

    def _timeline(self, state: SyncState | EntityState) -> Iterator[Values]:
        for seq in range(self.events):
            request = state.request if isinstance(state, SyncState) and seq == 0 else ""
            cause, event = f"{state.run + seq:032x}", f"event {seq} of a run"
            entry = HistoryEntry(state.run + seq, state.started_at + seq, cause, event, request, state.run)
            yield timeline_values(state.key, entry)


async def fill_postgres(dsn: str, past: Past) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        for table, columns in TABLES.items():
            await connection.copy_records_to_table(table, records=past.rows(table), columns=columns)
        await connection.execute("vacuum analyze")
    finally:
        await connection.close()


def fill_sqlite(path: Path, past: Past) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        for table, columns in TABLES.items():
            insert = f"insert into {table} ({', '.join(columns)}) values ({', '.join('?' for _ in columns)})"
            rows = past.rows(table)
            while some := list(islice(rows, ROWS_PER_INSERT)):
                file.execute("begin")
                file.executemany(insert, map(_stored, some))
                file.execute("commit")


def _child(org: str, name: str, at: int) -> Child:
    run = run_id(entity.KEY.key(org, "pco", name, "full"), at)
    return Child("done", (), (), "", at, at + RUN_MS, run, PAGES, RECORDS)


def _fence(state: EntityState) -> Values:
    names = (state.run_id, state.key, state.run, state.org, state.adapter, state.entity, state.type)
    return (*names, "done", when(state.started_at), when(state.ended_at), PAGES, RECORDS, 0)


def _stored(values: Values) -> list[object]:
    return [iso(value) if isinstance(value, datetime) else value for value in values]
