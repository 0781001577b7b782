"""Connections to PostgreSQL, and its errors and those of its driver as errors of topics.errors.

The classes are those of appendix A of PostgreSQL's manual, "PostgreSQL Error Codes".
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import asyncpg

from service.sinks.migrations import NotPrepared
from service.sinks.sink import DataRefused
from topics.errors import Rejected, Retryable, SluiceError

CLOSE_TIMEOUT_SECONDS = 10
LOCK_TIMEOUT_SECONDS = 3  # of a statement for one lock; our own statements hold none for so long
BUSY_SECONDS = 5.0  # before a table that was locked, or too slow, is tried again
# A commit is on the disk when it returns, and on that of each synchronous standby, whatever the server's default.
DURABLE = {"synchronous_commit": "on"}
Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"

# 22 data exception, 23 integrity constraint, 54 a limit (an index key too long, JSON too deep), P0 a user's trigger.
REFUSED_CLASSES = frozenset({"22", "23", "54", "P0"})
# 28 authorization, 3D no such database, 3F no such schema, 42 invalid for the schema, or no permission.
REJECTED_CLASSES = frozenset({"28", "3D", "3F", "42"})
LOCKED, CANCELED, DEADLOCK = "55P03", "57014", "40P01"
MISSING_CODES = frozenset({"42P01", "42703", "42883", "42P10"})  # table, column, function, key to conflict on


class Pool:
    """Connections to a database: made when they are needed, and again after one was lost. Errors are translated."""

    def __init__(self, dsn: str, acquire_timeout_seconds: float, **settings: Any) -> None:
        self.database = _display_name(dsn)
        self._acquire_timeout_seconds = acquire_timeout_seconds
        self._pool: asyncpg.Pool[asyncpg.Record] = asyncpg.create_pool(dsn, min_size=0, **settings)

    @asynccontextmanager
    async def connection(self, table: str = "a table") -> AsyncIterator[Connection]:
        """`table` is what errors name."""
        with translated(self.database, table):
            await self._pool
            async with self._pool.acquire(timeout=self._acquire_timeout_seconds) as connection:
                yield connection

    async def fetch(self, query: str, *arguments: object) -> list[tuple[Any, ...]]:
        table = query.partition('from "')[2].partition('"')[0] or "a table"
        async with self.connection(table) as connection:
            return [tuple(row) for row in await connection.fetch(query, *arguments)]

    async def close(self) -> None:
        """Wait at most CLOSE_TIMEOUT_SECONDS for calls in flight, then cut them off. What was committed is kept."""
        await self._pool
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT_SECONDS):
                await self._pool.close()


def _display_name(dsn: str) -> str:
    """The database by host and name, without credentials."""
    try:
        parts = urlsplit(dsn)
    except ValueError as error:
        raise Rejected(f"SLUICE_SINK is not an address of a PostgreSQL database: {error}") from None
    return f"PostgreSQL at {parts.netloc.rpartition('@')[2] or 'its default address'}{parts.path}"


@contextmanager
def translated(database: str, table: str = "a table") -> Iterator[None]:
    """Translate the errors of the block, which works on `table`. `database` is its name without credentials."""
    try:
        yield
    except asyncpg.PostgresError as error:
        raise _from_server(error, database, table) from error
    except ValueError as error:
        # A value out of its type's range is the driver's DataError, an InterfaceError (asyncpg.DataError is the
        # server's). An address that cannot be parsed is a ClientConfigurationError or a plain ValueError.
        if isinstance(error, asyncpg.InterfaceError) and not isinstance(error, asyncpg.ClientConfigurationError):
            raise DataRefused(str(error)) from error
        raise Rejected(f"SLUICE_SINK is not an address of a PostgreSQL database: {error}") from error
    except TimeoutError as error:
        raise Retryable(f"{database} did not answer in time: it is overloaded, stopped or unreachable") from error
    except OSError as error:
        raise Retryable(f"{database} cannot be reached: {error}") from error
    except (asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        raise Retryable(f"the connection to {database} was lost: {error}") from error


def _from_server(error: asyncpg.PostgresError, database: str, table: str) -> SluiceError:
    code = error.sqlstate or ""
    detail = getattr(error, "detail", None)
    text = f"{error.args[0]} ({detail})" if detail else str(error.args[0])
    if code[:2] in REFUSED_CLASSES:
        return DataRefused(text)
    if code in MISSING_CODES:
        return NotPrepared(
            f"{database} is not prepared: {text}. A fetcher creates what its manifests need when it starts: "
            "restart one that runs this version"
        )
    if code[:2] in REJECTED_CLASSES:
        return Rejected(f"{database} refused a request: {text}. Check SLUICE_SINK and the user's rights, then restart")
    if code == LOCKED:
        return Retryable(
            f"{table} is locked in {database} for more than {LOCK_TIMEOUT_SECONDS} s by another session (an index that "
            "is built, LOCK TABLE, VACUUM FULL?): pg_blocking_pids() shows whose it is; Sluice continues when it ends",
            BUSY_SECONDS,
        )
    if code == CANCELED:
        return Retryable(
            f"a statement on {table} was stopped in {database}: {text}. Is the server overloaded, or the table locked?",
            BUSY_SECONDS,
        )
    if code == DEADLOCK:
        return Retryable(f"a deadlock on {table} in {database}; nothing of it was written: {text}")
    # Others are temporary: 08 connection, 40 conflict, 53 no resources, 57 shutdown, 58 disk.
    return Retryable(f"{database} could not run a statement now ({code}): {text}")
