"""The group commit in PostgreSQL: one statement for each entity's table, and its arguments."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import chain, repeat

import msgspec

from agents.ports import PageWrite, RowWrite
from service.sinks.schema import Dialect, EntityTable
from service.sinks.sink import DataRefused, rejection_places
from service.sql import read_statements

DIALECT = Dialect(
    types={
        "text": "text",
        "integer": "bigint",
        "number": "double precision",
        "boolean": "boolean",
        "timestamp": "timestamp with time zone",
        "date": "date",
        "json": "jsonb",
        "hash": "bytea",
    },
    key='collate "C"',
)
SQL = read_statements("service.sinks.postgres", "statements.sql")
LEDGER_STATEMENT = f"{SQL['ledger']}\n{SQL['outcomes']}"  # enters pages and stores no rows
_encode = msgspec.json.Encoder().encode


def commit_statement(table: EntityTable) -> str:
    """The statement for every commit to a table, with the same text each time: asyncpg prepares it once per connection.

    Rows are one JSON document ($15), an array each, with `raw`, which is jsonb anyway, inside. This takes the fetcher
    half the time of one array per column.
    """
    names = [f'"{column.name}"' for column in table.columns]
    rows = SQL["rows"].format(
        table=table.name,
        fields=_fields(table),
        columns=_listed(names),
        updates=_listed([f"{name} = excluded.{name}" for name in names]),
    )
    return f"{SQL['ledger']}\n{rows}\n{SQL['outcomes']}"


def _fields(table: EntityTable) -> str:
    """The elements of a row's array: page, key, typed columns, raw, hash, the source's time."""
    typed = [(f'"{column.name}"', DIALECT.types[column.type]) for column in table.columns]
    elements = [("_ord", "int"), ("id", "text"), *typed, ("raw", "jsonb"), ("content_hash", "bytea")]
    elements.append(("source_updated_at", DIALECT.types["timestamp"]))
    return ", ".join(f"{_element(index, type_)} as {name}" for index, (name, type_) in enumerate(elements))


def _element(index: int, type_: str) -> str:
    match type_:
        case "text":
            return f"record ->> {index}"
        case "jsonb":
            return f"nullif(record -> {index}, 'null')"
        case "bytea":
            return f"decode(record ->> {index}, 'hex')"
    return f"(record ->> {index})::{type_}"


def commit_arguments(pages: Sequence[PageWrite], table: EntityTable, moment: datetime) -> list[object]:
    """Arguments of `commit_statement` for the same table. DataRefused for text that is not Unicode."""
    documents = [index for index, column in enumerate(table.columns) if column.type == "json"]
    rejected = [record for page in pages for record in page.rejected]
    return [
        *ledger_arguments(pages, moment),
        _document([_row_array(row, ord_, documents) for ord_, page in enumerate(pages) for row in page.rows]),
        _ordinals(len(page.rejected) for page in pages),
        [record.key for record in rejected],
        [place for page in pages for place in rejection_places(page)],
        [record.reason for record in rejected],
        [record.raw for record in rejected],
    ]


def ledger_arguments(pages: Sequence[PageWrite], moment: datetime) -> list[object]:
    """Arguments of LEDGER_STATEMENT."""
    return [
        range(len(pages)),
        [page.run.id for page in pages],
        [page.parent for page in pages],
        [page.page for page in pages],
        [len(page.rows) for page in pages],
        [len(page.rejected) for page in pages],
        [page.is_last for page in pages],
        [page.next_cursor for page in pages],
        [page.fetched_at for page in pages],
        moment,
        [page.extent.start for page in pages],
        [page.extent.first for page in pages],
        [page.extent.last for page in pages],
        [page.extent.total for page in pages],
    ]


def _document(rows: Sequence[object]) -> str:
    try:
        return _encode(rows).decode()
    except UnicodeError as error:
        raise DataRefused(f"text that is not Unicode: {error}") from None


def _row_array(row: RowWrite, ord_: int, documents: Sequence[int]) -> tuple[object, ...]:
    """`documents`: the indexes of values that are JSON text already."""
    values = row.values
    if documents:
        changed = list(values)
        for index in documents:
            text = values[index]
            changed[index] = msgspec.Raw(text.encode()) if isinstance(text, str) else None
        values = tuple(changed)
    raw = msgspec.Raw(row.raw.encode("utf-8", "surrogatepass"))
    return (ord_, row.key, *values, raw, row.content_hash.hex(), row.updated_at)


def _ordinals(sizes: Iterable[int]) -> list[int]:
    """For each record, the position of its page in the group: sizes 2, 0, 1 give 0, 0, 2."""
    return list(chain.from_iterable(repeat(position, size) for position, size in enumerate(sizes)))


def _listed(parts: Sequence[str]) -> str:
    return "".join(f"{part}, " for part in parts)
