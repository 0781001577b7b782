"""Creation of the sink's tables in PostgreSQL, once even if several processes start together."""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress

import asyncpg

from service.clock import Clock
from service.sinks.migrations import READ_APPLIED, RECORD_TABLE, Migration, pending, shipped
from service.sinks.postgres.commit import DIALECT
from service.sinks.postgres.connection import Connection, translated
from service.sinks.schema import Correction, EntityTable, iso
from topics.errors import Rejected, Retryable, SluiceError

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


async def create_tables(
    connection: Connection, tables: Mapping[str, EntityTable], database: str
) -> dict[str, SluiceError]:
    """Create missing tables and add missing columns, each table on its own. What is wrong with one, by its name in
    `tables`.
    """
    problems: dict[str, SluiceError] = {}
    existing = await _existing(connection, tables.values())
    for name, table in tables.items():
        try:
            with translated(database, table.name):
                if table.changes(existing[table.name], DIALECT):
                    await _create_table(connection, table)
        except (Rejected, Retryable) as problem:
            if connection.is_closed():
                raise
            problems[name] = problem
    return problems


async def _create_table(connection: Connection, table: EntityTable) -> None:
    async with _changing(connection):
        existing = await _existing(connection, [table])
        for statement in table.changes(existing[table.name], DIALECT):
            await connection.execute(statement)


async def corrections(connection: Connection, tables: Iterable[EntityTable]) -> list[Correction]:
    """Without those of tables that Sluice did not make."""
    found: list[Correction] = []
    existing = await _existing(connection, tables)
    for table in tables:
        with suppress(Rejected):
            found += table.corrections(existing[table.name], DIALECT)
    return found


async def correct(connection: Connection, correction: Correction) -> None:
    """Rejected if something of the owner's uses the column; Retryable if the table is locked by somebody."""
    try:
        async with _changing(connection):
            found = await connection.fetch(_COLUMNS, [correction.table])
            if (correction.column, correction.existing) not in {(row["column"], row["type"]) for row in found}:
                return  # somebody else has corrected it
            for statement in correction.statements:
                await connection.execute(statement)
    except asyncpg.DependentObjectsStillExistError:
        raise correction.in_use from None


@asynccontextmanager
async def _changing(connection: Connection) -> AsyncIterator[None]:
    """A transaction in which the schema is changed. It waits for a table that is locked as any statement does."""
    async with connection.transaction():
        await connection.execute(_LOCK)
        yield


async def _existing(connection: Connection, tables: Iterable[EntityTable]) -> dict[str, dict[str, str]]:
    """The columns of each table with their types."""
    existing: dict[str, dict[str, str]] = {table.name: {} for table in tables}
    for row in await connection.fetch(_COLUMNS, list(existing)):
        existing[row["table"]][row["column"]] = row["type"]
    return existing
