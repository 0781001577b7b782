"""Connection to a SQLite file: opening, calls in a thread of its own, transactions and translation of errors."""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from service.sinks.migrations import NotPrepared
from service.sinks.sink import DataRefused
from topics.errors import Broken, Rejected, Retryable, SluiceError

BUSY_TIMEOUT_SECONDS = 30.0  # for another process's transaction
WAL_TRIES_MAX = 100
WAL_PAUSE_SECONDS = 0.05

R = TypeVar("R")

# Primary result codes, https://sqlite.org/rescode.html; the low byte of an extended one.
_RETRYABLE_CODES = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_PROTOCOL,
    }
)
_REFUSED_CODES = frozenset({sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISMATCH})
_PRIMARY = 0xFF
# These errors have no code of their own, only texts; the last one begins "table T has no column named C".
_MISSING = ("no such table", "no such column", "table ")


class SqliteFile:
    """A file that several processes share. Its one connection is opened at the first call, and used in one thread.

    Calls run one after another. The tasks bound the number of waiting ones: each task waits for its own.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sluice-sqlite")
        self._connection: sqlite3.Connection | None = None

    async def run(self, call: Callable[[sqlite3.Connection], R]) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._run, call)

    async def close(self) -> None:
        def call() -> None:
            if self._connection is not None:
                self._connection.close()

        await asyncio.get_running_loop().run_in_executor(self._thread, call)
        self._thread.shutdown()

    def _run(self, call: Callable[[sqlite3.Connection], R]) -> R:
        with translated(self.path):
            if self._connection is None:
                self._connection = _connect(self.path)
            return call(self._connection)


def _connect(path: Path) -> sqlite3.Connection:
    """Open or create the file. A commit is on the disk when it returns: WAL with synchronous=FULL."""
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_SECONDS, isolation_level=None)
    try:
        _use_wal(connection)
        connection.execute("pragma synchronous = full")
    except BaseException:
        connection.close()
        raise
    return connection


def _use_wal(connection: sqlite3.Connection) -> None:
    """Switch to WAL. Unlike transactions, the switch does not wait for another process, so it is retried."""
    for _ in range(WAL_TRIES_MAX):
        try:
            (mode,) = connection.execute("pragma journal_mode = wal").fetchone()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & _PRIMARY != sqlite3.SQLITE_BUSY:
                raise
            time.sleep(WAL_PAUSE_SECONDS)
            continue
        if mode != "wal":
            raise Rejected(
                f"SQLite cannot keep a write-ahead log there (journal mode {mode}): use a directory on a local disk"
            )
        return
    raise Retryable("the SQLite file is busy: another process locks it")


@contextmanager
def transaction(connection: sqlite3.Connection, is_kept: bool = True) -> Iterator[None]:
    """A write transaction: no other connection writes from its begin to its commit, or to its rollback."""
    connection.execute("begin immediate")
    try:
        yield
        if is_kept:
            connection.execute("commit")
    finally:
        if connection.in_transaction:
            connection.rollback()


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Translate the errors of the block."""
    try:
        yield
    except (OverflowError, UnicodeEncodeError, sqlite3.DataError) as error:
        raise DataRefused(str(error)) from error
    except OSError as error:
        raise Rejected(f"the SQLite file {path} cannot be made: {error}. Check SLUICE_SINK") from error
    except (sqlite3.InterfaceError, sqlite3.ProgrammingError) as error:
        raise Broken(f"wrong use of SQLite: {error}") from error
    except sqlite3.DatabaseError as error:
        raise _from_sqlite(error, path) from error


def _from_sqlite(error: sqlite3.DatabaseError, path: Path) -> SluiceError:
    code = error.sqlite_errorcode & _PRIMARY
    if code in _REFUSED_CODES:
        return DataRefused(str(error))
    if code in _RETRYABLE_CODES:
        return Retryable(f"the SQLite file {path} cannot be used now: {error}")
    if code != sqlite3.SQLITE_ERROR:
        return Rejected(
            f"the SQLite file {path} cannot be used: {error}. Check SLUICE_SINK and the file's owner and rights"
        )
    if not str(error).startswith(_MISSING):
        return Broken(f"SQLite refused a statement on the file {path}: {error}")
    return NotPrepared(
        f"the SQLite file {path} is not prepared: {error}. A fetcher creates what its manifests need when "
        "it starts: restart one that runs this version"
    )
