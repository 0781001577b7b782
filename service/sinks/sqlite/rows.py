"""Rows of an entity's table in SQLite: its dialect, its upsert, and values as SQLite stores them."""

from collections.abc import Iterator
from datetime import date, datetime

from agents.ports import PageWrite
from service.sinks.schema import KEY, Dialect, EntityTable, iso
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

SQL = read_statements("service.sinks.sqlite", "statements.sql")


def upsert(table: EntityTable) -> str:
    names = table.column_names
    return SQL["upsert"].format(
        table=table.name,
        columns=", ".join(f'"{name}"' for name in names),
        marks=", ".join("?" for _ in names),
        updates=", ".join(f'"{name}" = excluded."{name}"' for name in names if name not in KEY),
    )


def stored_rows(page: PageWrite) -> Iterator[tuple[object, ...]]:
    """The page's rows in the order of `upsert`'s columns."""
    run, fetched_at = page.run, iso(page.fetched_at)
    for row in page.rows:
        updated_at = None if row.updated_at is None else iso(row.updated_at)
        values = map(_stored, row.values)
        tail = (row.raw, row.content_hash, run.type, run.id, page.page, fetched_at, updated_at)
        yield (run.org, row.key, *values, *tail)


def _stored(value: object) -> object:
    if isinstance(value, datetime):
        return iso(value)
    return value.isoformat() if isinstance(value, date) else value
