"""Stored records, read in byte order of their keys. Used by checks, not by syncs."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import asyncpg

from service.sinks import sqlite_path
from service.sinks.postgres.errors import translated
from topics.errors import Rejected

ROWS_PER_FETCH = 1_000


async def stored_records(url: str, table: str, org: str) -> AsyncIterator[tuple[str, str]]:
    """Key and raw JSON of each row of an organisation in an entity's table."""
    if (path := sqlite_path(url)) is not None:
        for row in _from_sqlite(path, table, org):
            yield row
        return
    with translated("PostgreSQL"):
        connection = await asyncpg.connect(url)
        try:
            async with connection.transaction(readonly=True):
                query = f'select id, raw::text as raw from "{table}" where org = $1 order by id'
                async for found in connection.cursor(query, org, prefetch=ROWS_PER_FETCH):
                    yield found["id"], found["raw"]
        finally:
            await connection.close()


def _from_sqlite(path: Path, table: str, org: str) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        try:
            return connection.execute(f'select id, raw from "{table}" where org = ? order by id', (org,)).fetchall()
        except sqlite3.OperationalError as error:
            raise Rejected(f"the SQLite file {path} cannot be read: {error}. Check SLUICE_SINK") from error
