"""Creation of the sink's tables in PostgreSQL, once even if several processes start together."""

from collections.abc import Sequence

from service.clock import Clock
from service.sinks.migrations import READ_APPLIED, RECORD_TABLE, Migration, pending, shipped
from service.sinks.postgres.commit import DIALECT
from service.sinks.postgres.connection import Connection
from service.sinks.schema import EntityTable, iso

# One process at a time changes the schema, however long another one takes; for a table they wait as any statement does.
# 001_ledger.sql locks runs by the number before this one.
_LOCK = """
set local lock_timeout = 0;
select pg_advisory_xact_lock(1397511498, 0);
set local lock_timeout to default;
"""
_COLUMNS = """
select class.relname as table, attribute.attname as column,
    format_type(attribute.atttypid, attribute.atttypmod) as type
from pg_attribute as attribute join pg_class as class on class.oid = attribute.attrelid
where class.oid in (select to_regclass(name) from unnest($1::text[]) as name)
    and attribute.attnum > 0 and not attribute.attisdropped
"""


async def migrate(connection: Connection, clock: Clock, database: str) -> None:
    """Migrate the internal tables to this version. Rejected if the database is newer, or has other migrations."""
    if not await _pending(connection, database):
        return
    async with connection.transaction():
        await connection.execute(_LOCK)
        await connection.execute(RECORD_TABLE)
        for migration in await _pending(connection, database):
            await connection.execute(migration.sql)
            await connection.execute(
                "insert into sluice_migrations (number, name, checksum, applied_at) values ($1, $2, $3, $4)",
                *(migration.number, migration.name, migration.checksum, iso(clock.now())),
            )


async def _pending(connection: Connection, database: str) -> tuple[Migration, ...]:
    applied: dict[int, str] = {}
    if await connection.fetchval("select to_regclass('sluice_migrations')") is not None:
        applied = {row["number"]: row["checksum"] for row in await connection.fetch(READ_APPLIED)}
    return pending(shipped("postgres"), applied, database)


async def create_tables(connection: Connection, tables: Sequence[EntityTable]) -> None:
    """Create missing tables and add missing columns. Rejected if a column has another type."""
    if not await _changes(connection, tables):
        return
    async with connection.transaction():
        await connection.execute(_LOCK)
        for statement in await _changes(connection, tables):
            await connection.execute(statement)


async def _changes(connection: Connection, tables: Sequence[EntityTable]) -> list[str]:
    existing: dict[str, dict[str, str]] = {table.name: {} for table in tables}
    for row in await connection.fetch(_COLUMNS, list(existing)):
        existing[row["table"]][row["column"]] = row["type"]
    return [statement for table in tables for statement in table.changes(existing[table.name], DIALECT)]
