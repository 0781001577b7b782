"""Reading PostgreSQL: the audit, the runs, the published state, and all rows, which stream by."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import asyncpg
import msgspec

from tests.checker.audit import Connection, is_there
from tests.checker.evidence import Evidence
from tests.checker.layouts import Layout
from tests.checker.rows import TableReader
from tests.checker.values import AuditLine, Lives, Proof, Run, RunChange, Table

ROWS_AHEAD = 2_000
STATUS_TABLES = ("sluice_workflow_runs", "sluice_sync_runs", "sluice_entity_runs")  # the last two are views
JSON_COLUMNS = ("state", "details")
_AUDIT = """
select id, run_id, parent, page, records, rejected, state, txid, extract(epoch from at)::float8, {committed}
from sluice_audit_pages order by id
"""
_COMMITTED = "extract(epoch from pg_xact_commit_timestamp(xmin))::float8"
_CHANGES = "select id, run_id, state, txid, extract(epoch from at)::float8 from sluice_audit_runs order by id"
_RUNS = """
select run.run_id, run.workflow, run.number, run.org, run.adapter, run.entity, run.state,
    run.pages + coalesce(line.pages, 0), run.records + coalesce(line.records, 0),
    run.rejected + coalesce(line.rejected, 0), run.proof
from sluice_runs as run left join (
    select run_id, count(*)::bigint as pages, sum(records)::bigint as records, sum(rejected)::bigint as rejected
    from sluice_pages group by run_id
) as line using (run_id)
order by run.run_id
"""
_TIMELINE = """
select workflow, (extract(epoch from at) * 1000)::bigint, seq, cause, event, request_id, run_id from sluice_timeline
"""


class DatabaseUnreadable(Exception):
    """The database holds no evidence; the text says what is missing."""


async def read_database(dsn: str, layouts: Mapping[str, Layout], found: Evidence) -> None:
    """All of it into the evidence, as of one moment; by the lives that are in the evidence, some rows are set apart."""
    connection = await asyncpg.connect(dsn)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            await _read(connection, layouts, found)
    finally:
        await connection.close()


async def _read(connection: Connection, layouts: Mapping[str, Layout], found: Evidence) -> None:
    if not await is_there(connection, "sluice_audit_pages"):
        raise DatabaseUnreadable(
            "the database has no audit: put it in before the first run, with python -m tests.checker install"
        )
    tracks = await connection.fetchval("show track_commit_timestamp") == "on"
    lines = _AUDIT.format(committed=_COMMITTED if tracks else "null::float8")
    found.audit = [AuditLine(*row) async for row in _rows(connection, lines)]
    found.changes = [RunChange(*row) async for row in _rows(connection, _CHANGES)]
    found.runs = [_run(*row) async for row in _rows(connection, _RUNS)]
    for table in STATUS_TABLES:
        if await is_there(connection, table):
            async for row in _rows(connection, f"select * from {table}"):
                found.published[table, row["run_id"]] = {name: _plain(name, value) for name, value in row.items()}
    if await is_there(connection, "sluice_timeline"):
        found.timeline = [tuple(row) async for row in _rows(connection, _TIMELINE)]
    for layout in layouts.values():
        if await is_there(connection, layout.table):
            found.tables += await _tables(connection, layout, found.lives or {})


async def _tables(connection: Connection, layout: Layout, lives: Lives) -> Sequence[Table]:
    """The entity's rows, organisation by organisation."""
    columns = [column.name for column in layout.columns] + ([layout.parent_column] if layout.parent_column else [])
    named = "".join(f'stored."{column}", ' for column in columns)
    query = f"""
        select stored.org, id, {named} stored.raw, content_hash, stored.run_id, stored.page, source_updated_at,
            rejection.run_id as rejected_in
        from "{layout.table}" as stored left join rejected_records as rejection
            on rejection.org = stored.org and rejection.adapter = '{layout.adapter}'
            and rejection.entity = '{layout.entity}' and rejection.record_key = stored.id and rejection.place = ''
        order by stored.org, id
    """
    readers: dict[str, TableReader] = {}
    async for row in _rows(connection, query):
        org = row["org"]
        if org not in readers:
            readers[org] = TableReader(org, layout, lives.get((org, layout.entity), {}))
        readers[org].take(dict(row))
    return [reader.table() for reader in readers.values()]


async def _rows(connection: Connection, query: str) -> AsyncIterator[asyncpg.Record]:
    async for row in connection.cursor(query, prefetch=ROWS_AHEAD):
        yield row


def _run(*row: Any) -> Run:
    *columns, text = row
    proof = None if text is None else msgspec.json.decode(text, type=Proof)
    return Run(*(*columns, proof))


def _plain(name: str, value: Any) -> object:
    if isinstance(value, datetime):
        return round(value.timestamp() * 1000)
    return msgspec.json.decode(value) if name in JSON_COLUMNS else value
