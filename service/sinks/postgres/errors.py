"""Errors of PostgreSQL and its driver, translated to those of topics.errors.

The classes are those of appendix A of PostgreSQL's manual, "PostgreSQL Error Codes".
"""

from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from service.sinks.group import DataRefused
from service.sinks.migrations import NotPrepared
from topics.errors import Rejected, Retryable, SluiceError

# 22 data exception, 23 integrity constraint, 54 a limit (an index key too long, JSON too deep), P0 a user's trigger.
REFUSED_CLASSES = frozenset({"22", "23", "54", "P0"})
# 28 authorization, 3D no such database, 3F no such schema, 42 invalid for the schema, or no permission.
REJECTED_CLASSES = frozenset({"28", "3D", "3F", "42"})
MISSING_CODES = frozenset({"42P01", "42703", "42883", "42P10"})  # table, column, function, key to conflict on
DRIVER_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, ValueError)


@contextmanager
def translated(database: str) -> Iterator[None]:
    """Translate the errors of the block. `database` is its name without credentials."""
    try:
        yield
    except DRIVER_ERRORS as error:
        raise translate(error, database) from error


def translate(error: Exception, database: str) -> SluiceError | DataRefused:
    if isinstance(error, asyncpg.PostgresError):
        return _from_server(error, database)
    if isinstance(error, ValueError):
        return _from_driver(error)
    if isinstance(error, TimeoutError):
        return Retryable(f"{database} did not answer in time: it is overloaded, stopped or unreachable")
    if isinstance(error, OSError):
        return Retryable(f"{database} cannot be reached: {error}")
    return Retryable(f"the connection to {database} was lost: {error}")


def _from_driver(error: ValueError) -> SluiceError:
    """A value out of its type's range is the driver's DataError, an InterfaceError (asyncpg.DataError is the server's).

    An address that cannot be parsed is a ClientConfigurationError or a plain ValueError.
    """
    if isinstance(error, asyncpg.InterfaceError) and not isinstance(error, asyncpg.ClientConfigurationError):
        return DataRefused(str(error))
    return Rejected(f"SLUICE_SINK is not an address of a PostgreSQL database: {error}")


def _from_server(error: asyncpg.PostgresError, database: str) -> SluiceError | DataRefused:
    code = error.sqlstate or ""
    text = _sentence(error)
    if code[:2] in REFUSED_CLASSES:
        return DataRefused(text)
    if code in MISSING_CODES:
        return NotPrepared(
            f"{database} is not prepared: {text}. A fetcher creates what its manifests need when it starts: "
            "restart one that runs this version"
        )
    if code[:2] in REJECTED_CLASSES:
        return Rejected(f"{database} refused a request: {text}. Check SLUICE_SINK and the user's rights, then restart")
    # Others are temporary: 08 connection, 40 deadlock, 53 no resources, 55 locked, 57 shutdown or timeout, 58 disk.
    return Retryable(f"{database} could not run a statement now ({code}): {text}")


def _sentence(error: asyncpg.PostgresError) -> str:
    detail = getattr(error, "detail", None)
    return f"{error.args[0]} ({detail})" if detail else str(error.args[0])
