"""Creation of the sink's tables in SQLite, once even if several processes start together."""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress

from service.clock import Clock
from service.sinks.migrations import READ_APPLIED, RECORD_TABLE, Migration, pending, shipped
from service.sinks.schema import Correction, EntityTable, iso
from service.sinks.sqlite.connection import transaction
from service.sinks.sqlite.rows import DIALECT
from topics.errors import Broken, Rejected, SluiceError


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


def create_tables(connection: sqlite3.Connection, tables: Mapping[str, EntityTable]) -> dict[str, SluiceError]:
    """Create missing tables and add missing columns. What is wrong with a table, by its name in `tables`."""
    problems: dict[str, SluiceError] = {}
    for name, table in tables.items():
        try:
            if table.changes(_existing(connection, table.name), DIALECT):
                with transaction(connection):
                    for statement in table.changes(_existing(connection, table.name), DIALECT):
                        connection.execute(statement)
        except Rejected as problem:
            problems[name] = problem
    return problems


def corrections(connection: sqlite3.Connection, tables: Iterable[EntityTable]) -> list[Correction]:
    """Without those of tables that Sluice did not make."""
    found: list[Correction] = []
    for table in tables:
        with suppress(Rejected):
            found += table.corrections(_existing(connection, table.name), DIALECT)
    return found


def correct(connection: sqlite3.Connection, correction: Correction) -> None:
    """Rejected if something of the owner's uses the column."""
    with transaction(connection):
        if _existing(connection, correction.table).get(correction.column) != correction.existing:
            return  # somebody else has corrected it
        drop, add = correction.statements
        try:
            connection.execute(drop)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_ERROR:
                raise
            raise correction.in_use from None
        connection.execute(add)


def _existing(connection: sqlite3.Connection, table: str) -> dict[str, str]:
    """The table's columns with their types."""
    found = connection.execute("select name, type from pragma_table_info(?)", (table,))
    return {name: type_.lower() for name, type_ in found}
