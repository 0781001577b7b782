"""Rows of an entity's table in SQLite: its dialect, its upsert, and values as SQLite stores them."""

import re
import sqlite3
from collections.abc import Iterator
from datetime import date, datetime

from agents.ports import PageWrite, RejectedRecord, RowWrite
from service.sinks.repeats import COLLISION, place
from service.sinks.schema import DELETION, KEY, Dialect, EntityTable, entity_table, iso
from service.sql import read_statements

# Types as the table declares them. SQLite derives the affinity from the name (TEXT if it contains that).
DIALECT = Dialect(
    types={
        "text": "text",
        "integer": "integer",
        "number": "real",
        "boolean": "boolean",
        "timestamp": "timestamp_text",
        "date": "date_text",
        "json": "json_text",
        "hash": "blob",
    },
    key="collate binary",
)

_NUMBERED = re.compile(r"\$(\d+|(?=\{))")  # an argument, as PostgreSQL names it
_COMMON = {**read_statements("service.sinks", "deletes.sql"), **read_statements("service.sinks", "parents.sql")}
SQL = {
    **read_statements("service.sinks.sqlite", "statements.sql"),
    **{name: _NUMBERED.sub(r"?\1", text) for name, text in _COMMON.items()},
    "lock_run": _NUMBERED.sub(r"?\1", _COMMON["lock_run"].format(row_lock="")),
}


def upsert(table: EntityTable) -> str:
    names = table.column_names
    return SQL["upsert"].format(
        table=table.name,
        columns=", ".join(f'"{name}"' for name in names),
        marks=", ".join("?" for _ in names),
        updates=", ".join(f'"{name}" = excluded."{name}"' for name in names if name not in KEY),
        restored=", ".join(f'"{name}" = null' for name in DELETION),
    )


def stored_rows(page: PageWrite) -> Iterator[tuple[object, ...]]:
    """The page's rows in the order of `upsert`'s columns."""
    run, fetched_at = page.run, iso(page.fetched_at)
    for row in page.rows:
        updated_at = None if row.updated_at is None else iso(row.updated_at)
        values = map(_stored, row.values)
        tail = (row.raw, row.content_hash, run.type, run.id, page.page, fetched_at, updated_at)
        yield (run.org, row.key, *values, *tail)


def seeing(table: EntityTable) -> str:
    """The statement that notes a record, before it is stored."""
    return SQL["see"].format(table=table.name)


def seen_rows(page: PageWrite) -> Iterator[dict[str, object]]:
    """The page's records in the form that `seeing` takes; those that are rejected have no content."""
    known = {"run_id": page.run.id, "org": page.run.org, "fetched_at": iso(page.fetched_at)}
    for row in page.rows:
        updated_at = None if row.updated_at is None else iso(row.updated_at)
        yield {**known, "id": row.key, "content_hash": row.content_hash, "raw": row.raw, "updated_at": updated_at}
    for record in page.rejected:
        yield {**known, "id": record.key, "content_hash": None, "raw": None, "updated_at": None}


def collisions(connection: sqlite3.Connection, page: PageWrite) -> list[RejectedRecord]:
    """The page's records of which this run has read another version: whichever of the two is not kept."""
    table = entity_table(page.run.adapter, page.entity)
    parent = f'stored."{table.parent_column}"' if table.parent_column else "''"
    query = SQL["collision"].format(table=table.name, parent=parent)
    found = ((row, connection.execute(query, _named(page, row)).fetchone()) for row in page.rows)
    return [_collision(page, row, *stored) for row, stored in found if stored is not None]


def _collision(page: PageWrite, row: RowWrite, number: int, parent: str, fetched_at: str, raw: str) -> RejectedRecord:
    places = place(number, parent), place(page.page, page.parent)
    return RejectedRecord(row.key, COLLISION % places, raw if iso(page.fetched_at) >= fetched_at else row.raw)


def _named(page: PageWrite, row: RowWrite) -> dict[str, object]:
    return {
        "org": page.run.org,
        "id": row.key,
        "run_id": page.run.id,
        "content_hash": row.content_hash,
        "parent": page.parent,
        "updated_at": None if row.updated_at is None else iso(row.updated_at),
    }


def _stored(value: object) -> object:
    if isinstance(value, datetime):
        return iso(value)
    return value.isoformat() if isinstance(value, date) else value
