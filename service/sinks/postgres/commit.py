"""The group commit in PostgreSQL: one statement for each entity's table, and its arguments."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import partial
from itertools import chain, repeat
from typing import NamedTuple

import msgspec

from agents.ports import PageWrite, RowWrite
from service.sinks.repeats import COLLISION
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
_COMMON = {**read_statements("service.sinks", "deletes.sql"), **read_statements("service.sinks", "parents.sql")}
SQL = {
    **read_statements("service.sinks.postgres", "statements.sql"),
    **_COMMON,
    "lock_run": _COMMON["lock_run"].format(row_lock="for no key update"),
}
# Enters pages and stores no rows. No outcomes: nothing is entered, the pages must take the upsert path.
LEDGER_STATEMENT = "\n".join(SQL[part] for part in ("ledger", "loaded", "line", "outcomes"))
_encode = msgspec.json.Encoder().encode


class CommitStatements(NamedTuple):
    """The statements for every commit to a table, with the same text each time: asyncpg prepares them per connection.

    `plain` is for pages without rejected records. It has no outcomes, and has written nothing, where a record has to be
    set aside, or a rejection may have to be cleared: `whole` does that, and takes the database a fifth longer.
    `verifying` stores no row. It, and both of a reconciliation, note what was seen.
    """

    plain: str
    whole: str
    verifying: str


def commit_statements(table: EntityTable, is_compared: bool) -> CommitStatements:
    """Rows are one JSON document ($15), an array each, with `raw`, which is jsonb anyway, inside. This takes the
    fetcher half the time of one array per column.
    """
    names = [f'"{column.name}"' for column in table.columns]
    parent = table.parent_column
    compared = SQL["compared"].format(
        table=table.name,
        fields=_fields(table),
        is_moved=_is_moved(parent, "same", "record"),
    )
    collisions = SQL["collisions"].format(table=table.name, parent_column=f', stored."{parent}"' if parent else "")
    rows = SQL["rows"].format(table=table.name, columns=_listed(names))
    changes = partial(
        SQL["changes"].format,
        table=table.name,
        columns=_listed(names),
        updates=_listed([f"{name} = excluded.{name}" for name in names]),
    )
    changed = changes(
        name="changed", stored=1, repeat=SQL["repeat"].format(is_moved=_is_moved(parent, "stored", "excluded"))
    )
    replaced = changes(name="replaced", stored=2, repeat="")
    rejections = (replaced, SQL["rejections"])
    seen = SQL["seen"].format(table=table.name, refused="") if is_compared else ""
    seen_whole = SQL["seen"].format(table=table.name, refused=SQL["seen_refused"]) if is_compared else ""
    entered = (SQL["line"], SQL["fresh"])
    return CommitStatements(
        _statement(compared, SQL["plain"], *entered, seen, rows, changed),
        _statement(compared, collisions, *entered, seen_whole, rows, changed, *rejections),
        _statement(compared, SQL["uncompared"], *entered, seen_whole),
    )


def _statement(*parts: str) -> str:
    return "\n".join((SQL["ledger"], *parts, SQL["outcomes"]))


def _is_moved(parent: str, before: str, after: str) -> str:
    """The beginning of a condition: the row stands under another parent, or …"""
    return f'{before}."{parent}" <> {after}."{parent}" or ' if parent else ""


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
    """Arguments of the plain statement for the same table. DataRefused for text that is not Unicode."""
    documents = [index for index, column in enumerate(table.columns) if column.type == "json"]
    return [
        *ledger_arguments(pages, moment),
        _document([_row_array(row, ord_, documents) for ord_, page in enumerate(pages) for row in page.rows]),
    ]


def rejection_arguments(pages: Sequence[PageWrite]) -> list[object]:
    """The further arguments of the whole statement."""
    rejected = [record for page in pages for record in page.rejected]
    return [
        _ordinals(len(page.rejected) for page in pages),
        [record.key for record in rejected],
        [place for page in pages for place in rejection_places(page)],
        [record.reason for record in rejected],
        [record.raw for record in rejected],
        COLLISION,
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
        [page.extent.asked_at for page in pages],
        [page.extent.newest for page in pages],
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
