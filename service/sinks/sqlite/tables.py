"""Creation of the sink's tables in SQLite, once even if several processes start together."""

import sqlite3
from collections.abc import Iterator, Sequence

from service.clock import Clock
from service.sinks.migrations import READ_APPLIED, RECORD_TABLE, Migration, pending, shipped
from service.sinks.schema import EntityTable, iso
from service.sinks.sqlite.connection import transaction
from service.sinks.sqlite.rows import DIALECT
from topics.errors import Broken


def migrate(connection: sqlite3.Connection, clock: Clock, database: str) -> None:
    """Migrate the internal tables to this version. Rejected if the file is newer, or has other migrations."""
    if not _pending(connection, database):
        return
    with transaction(connection):
        connection.execute(RECORD_TABLE)
        for migration in _pending(connection, database):
            for statement in statements(migration.sql):
                connection.execute(statement)
            connection.execute(
                "insert into sluice_migrations (number, name, checksum, applied_at) values (?, ?, ?, ?)",
                (migration.number, migration.name, migration.checksum, iso(clock.now())),
            )


def _pending(connection: sqlite3.Connection, database: str) -> tuple[Migration, ...]:
    exists = connection.execute("select 1 from sqlite_schema where name = 'sluice_migrations'").fetchone()
    applied = dict(connection.execute(READ_APPLIED).fetchall()) if exists else {}
    return pending(shipped("sqlite"), applied, database)


def statements(script: str) -> Iterator[str]:
    """The script's statements one by one: `executescript` would commit the transaction."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if statement.strip():
        raise Broken(f"a migration ends within a statement: {statement.strip()[:80]!r}")


def create_tables(connection: sqlite3.Connection, tables: Sequence[EntityTable]) -> None:
    """Create missing tables and add missing columns. Rejected if a column has another type."""
    if not any(_changes(connection, table) for table in tables):
        return
    with transaction(connection):
        for table in tables:
            for statement in _changes(connection, table):
                connection.execute(statement)


def _changes(connection: sqlite3.Connection, table: EntityTable) -> list[str]:
    found = connection.execute("select name, type from pragma_table_info(?)", (table.name,))
    return table.changes({name: type_.lower() for name, type_ in found}, DIALECT)
