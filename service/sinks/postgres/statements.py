"""The SQL of a group commit, one text per entity's table, and the arguments that go with it."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import chain, repeat

import msgspec

from agents.ports import PageWrite, RowWrite
from service.sinks.group import DataRefused, rejection_places
from service.sinks.schema import Dialect, EntityTable

DIALECT = Dialect(
    types={
        "text": "text",
        "integer": "bigint",
        "number": "double precision",
        "boolean": "boolean",
        "timestamp": "timestamp with time zone",
        "date": "date",
        "json": "jsonb",
    },
    head=(("org", "text", 'collate "C" not null'), ("id", "text", 'collate "C" not null')),
    tail=(
        ("raw", "jsonb", "not null"),
        ("content_hash", "bytea", "not null"),
        ("source", "text", "not null"),
        ("run_id", "text", "not null"),
        ("page", "bigint", "not null"),
        ("fetched_at", "timestamp with time zone", "not null"),
        ("source_updated_at", "timestamp with time zone", ""),
    ),
)

# In order: the run's lock; the ledger line, whose conflict with an earlier one waits for it, leaves it as it is and
# returns its counts (xmax is 0 in a row that this statement inserted); the rows of new lines only, sorted, because that
# is the order of locking: two groups that touch the same rows wait for each other instead of deadlocking.
#
# A row is looked up first. What is stored as it came is left alone: a conflict would lock it, and so write. What is not
# there is inserted plainly, a fifth cheaper than "on conflict"; if another transaction stores it in the same moment,
# the statement fails with a unique violation and is run again. The lookup is a subquery, not a join: a plan that was
# made while the table was small could join by reading all of it.
#
# No typed column starts with _, and none has a reserved name (manifests.entity).
_LEDGER = """
with page as materialized (
    select * from unnest(
        $1::int[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::boolean[], $8::text[],
        $9::timestamptz[]
    ) as page (ord, run_id, parent, page, records, rejected, is_last, next_cursor, fetched_at)
),
open_run as materialized (
    select run_id, org, adapter, entity, type from sluice_runs
    where run_id = any ($2) and state = 'open' order by run_id for share
),
line as (
    insert into sluice_pages as stored
        (run_id, parent, page, records, rejected, is_last, next_cursor, committed_at)
    select run_id, parent, page, records, rejected, is_last, next_cursor, $10::timestamptz
    from page join open_run using (run_id)
    order by run_id, parent collate "C", page
    on conflict (run_id, parent, page) do update set committed_at = stored.committed_at
    returning run_id, parent, page, records, rejected, is_last, next_cursor, xmax = 0 as is_new
)"""
_OUTCOMES = """
select
    case when open_run.run_id is null then 'fenced' when line.is_new then 'committed' else 'already' end as status,
    coalesce(line.records, 0) as records, coalesce(line.rejected, 0) as rejected,
    coalesce(line.is_last, false) as is_last, line.next_cursor
from page
left join open_run using (run_id)
left join line using (run_id, parent, page)
order by page.ord
"""
_ROWS = """,
fresh as materialized (
    select page.ord, page.fetched_at, page.parent, page.page, open_run.*
    from page join open_run using (run_id) join line using (run_id, parent, page)
    where line.is_new
),
incoming as (
    select distinct on (fresh.org, record.id collate "C")
        fresh.org, fresh.type as source, fresh.run_id, fresh.page, fresh.fetched_at, record.*
    from (
        select {fields}, _position from jsonb_array_elements($11) with ordinality as sent (record, _position)
    ) as record
    join fresh on fresh.ord = record._ord
    order by fresh.org, record.id collate "C", record.source_updated_at desc nulls last, record._position desc
),
placed as materialized (
    select incoming.*, (
        select same.content_hash = incoming.content_hash
            and (incoming.source_updated_at is null or same.source_updated_at is not distinct from
                incoming.source_updated_at)
        from "{table}" as same where same.org = incoming.org and same.id = incoming.id
    ) as _is_same
    from incoming
),
added as (
    insert into "{table}"
        (org, id, {columns}raw, content_hash, source, run_id, page, fetched_at, source_updated_at)
    select org, id, {columns}raw, content_hash, source, run_id, page, fetched_at, source_updated_at
    from placed where _is_same is null
),
changed as (
    insert into "{table}" as stored
        (org, id, {columns}raw, content_hash, source, run_id, page, fetched_at, source_updated_at)
    select org, id, {columns}raw, content_hash, source, run_id, page, fetched_at, source_updated_at
    from placed where not _is_same
    on conflict (org, id) do update set
        {updates}raw = excluded.raw, content_hash = excluded.content_hash, source = excluded.source,
        run_id = excluded.run_id, page = excluded.page, fetched_at = excluded.fetched_at,
        source_updated_at = excluded.source_updated_at
    where excluded.source_updated_at > stored.source_updated_at
        or (stored.source_updated_at is null and excluded.source_updated_at is not null)
        or (
            (excluded.source_updated_at is null or excluded.source_updated_at = stored.source_updated_at)
            and excluded.content_hash <> stored.content_hash
        )
),
refused as (
    insert into rejected_records
        (org, adapter, entity, record_key, place, run_id, parent, page, reason, raw, rejected_at)
    select distinct on (fresh.org, fresh.adapter, fresh.entity, record.key collate "C", record.place collate "C")
        fresh.org, fresh.adapter, fresh.entity, record.key, record.place, fresh.run_id, fresh.parent, fresh.page,
        record.reason, record.raw, $10
    from unnest($12::int[], $13::text[], $14::text[], $15::text[], $16::text[]) with ordinality
        as record (ord, key, place, reason, raw, position)
    join fresh using (ord)
    order by fresh.org, fresh.adapter, fresh.entity, record.key collate "C", record.place collate "C",
        record.position desc
    on conflict (org, adapter, entity, record_key, place) do update set
        run_id = excluded.run_id, parent = excluded.parent, page = excluded.page, reason = excluded.reason,
        raw = excluded.raw, rejected_at = excluded.rejected_at
)"""
_encode = msgspec.json.Encoder().encode


# Enters pages, tells what became of each, and stores no rows.
LEDGER_STATEMENT = _LEDGER + _OUTCOMES


def commit_statement(table: EntityTable) -> str:
    """The text is the same for every commit to a table: asyncpg prepares it once per connection.

    Rows come as one JSON document ($11), an array for each: half the fetcher's work for an array a column, and `raw`,
    which is jsonb anyway, is part of it.
    """
    names = [f'"{column.name}"' for column in table.columns]
    rows = _ROWS.format(
        table=table.name,
        fields=_fields(table),
        columns=_listed(names),
        updates=_listed([f"{name} = excluded.{name}" for name in names]),
    )
    return _LEDGER + rows + _OUTCOMES


def _fields(table: EntityTable) -> str:
    """Out of a row's array: page, key, typed columns, raw, hash, the source's time."""
    typed = [(f'"{column.name}"', DIALECT.types[column.type]) for column in table.columns]
    places = [("_ord", "int"), ("id", "text"), *typed, ("raw", "jsonb"), ("content_hash", "bytea")]
    places.append(("source_updated_at", DIALECT.types["timestamp"]))
    return ", ".join(f"{_taken(place, type_)} as {name}" for place, (name, type_) in enumerate(places))


def _taken(place: int, type_: str) -> str:
    match type_:
        case "text":
            return f"record ->> {place}"
        case "jsonb":
            return f"nullif(record -> {place}, 'null')"
        case "bytea":
            return f"decode(record ->> {place}, 'hex')"
    return f"(record ->> {place})::{type_}"


def commit_arguments(pages: Sequence[PageWrite], table: EntityTable, moment: datetime) -> list[object]:
    """What `commit_statement` of the same table takes. DataRefused for text that is not Unicode."""
    documents = [place for place, column in enumerate(table.columns) if column.type == "json"]
    rejected = [record for page in pages for record in page.rejected]
    return [
        *ledger_arguments(pages, moment),
        _document([_sent(row, ord_, documents) for ord_, page in enumerate(pages) for row in page.rows]),
        _ordinals(len(page.rejected) for page in pages),
        [record.key for record in rejected],
        [place for page in pages for place in rejection_places(page)],
        [record.reason for record in rejected],
        [record.raw for record in rejected],
    ]


def ledger_arguments(pages: Sequence[PageWrite], moment: datetime) -> list[object]:
    """What LEDGER_STATEMENT takes."""
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
    ]


def _document(rows: Sequence[object]) -> str:
    try:
        return _encode(rows).decode()
    except UnicodeError as error:
        raise DataRefused(f"text that is not Unicode: {error}") from None


def _sent(row: RowWrite, ord_: int, documents: Sequence[int]) -> tuple[object, ...]:
    """`documents` are the places of values that are JSON text already."""
    values = row.values
    if documents:
        changed = list(values)
        for place in documents:
            text = values[place]
            changed[place] = msgspec.Raw(text.encode()) if isinstance(text, str) else None
        values = tuple(changed)
    raw = msgspec.Raw(row.raw.encode("utf-8", "surrogatepass"))
    return (ord_, row.key, *values, raw, row.content_hash.hex(), row.updated_at)


def _ordinals(sizes: Iterable[int]) -> list[int]:
    """For each record, the position of its page in the group: sizes 2, 0, 1 give 0, 0, 2."""
    return list(chain.from_iterable(repeat(position, size) for position, size in enumerate(sizes)))


def _listed(parts: Sequence[str]) -> str:
    return "".join(f"{part}, " for part in parts)
