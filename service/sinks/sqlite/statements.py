"""The SQL of an entity's table in SQLite, and its rows as SQLite stores them."""

from collections.abc import Iterator
from datetime import date, datetime

from agents.ports import PageWrite
from service.sinks.parents import iso
from service.sinks.schema import Dialect, EntityTable

# Types are what the table's declaration says; SQLite takes the affinity from it (TEXT for names that contain it).
DIALECT = Dialect(
    types={
        "text": "text",
        "integer": "integer",
        "number": "real",
        "boolean": "boolean",
        "timestamp": "timestamp_text",
        "date": "date_text",
        "json": "json_text",
    },
    head=(("org", "text", "not null"), ("id", "text", "not null")),
    tail=(
        ("raw", "json_text", "not null"),
        ("content_hash", "blob", "not null"),
        ("source", "text", "not null"),
        ("run_id", "text", "not null"),
        ("page", "integer", "not null"),
        ("fetched_at", "timestamp_text", "not null"),
        ("source_updated_at", "timestamp_text", ""),
    ),
)

_UPSERT = """
insert into "{table}" as stored ({columns}) values ({marks})
on conflict (org, id) do update set {updates}
where excluded.source_updated_at > stored.source_updated_at
    or (stored.source_updated_at is null and excluded.source_updated_at is not null)
    or (
        (excluded.source_updated_at is null or excluded.source_updated_at = stored.source_updated_at)
        and excluded.content_hash <> stored.content_hash
    )
"""

INSERT_LINE = """
insert into sluice_pages (run_id, parent, page, records, rejected, is_last, next_cursor, committed_at)
values (?, ?, ?, ?, ?, ?, ?, ?)
"""
INSERT_REJECTED = """
insert into rejected_records
    (org, adapter, entity, record_key, place, run_id, parent, page, reason, raw, rejected_at)
values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
on conflict (org, adapter, entity, record_key, place) do update set
    run_id = excluded.run_id, parent = excluded.parent, page = excluded.page, reason = excluded.reason,
    raw = excluded.raw, rejected_at = excluded.rejected_at
"""


def upsert(table: EntityTable) -> str:
    names = [name for name, _, _ in DIALECT.head]
    names += [column.name for column in table.columns]
    names += [name for name, _, _ in DIALECT.tail]
    return _UPSERT.format(
        table=table.name,
        columns=", ".join(f'"{name}"' for name in names),
        marks=", ".join("?" for _ in names),
        updates=", ".join(f'"{name}" = excluded."{name}"' for name in names if name not in ("org", "id")),
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
