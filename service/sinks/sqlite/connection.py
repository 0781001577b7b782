"""Connections to a SQLite file, each for one thread: opening, transactions and translation of errors."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.sinks.group import DataRefused
from service.sinks.migrations import NotPrepared
from topics.errors import Broken, Rejected, Retryable, SluiceError

BUSY_TIMEOUT_SECONDS = 30.0  # for another process's transaction
WAL_TRIES_MAX = 100
WAL_PAUSE_SECONDS = 0.05

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


def connect(path: Path) -> sqlite3.Connection:
    """Open or create the file. A commit is on the disk when it returns: WAL with synchronous=FULL."""
    with translated(path):
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
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """A write transaction: no other connection writes from its begin to its commit."""
    connection.execute("begin immediate")
    try:
        yield
        connection.execute("commit")
    finally:
        if connection.in_transaction:
            connection.rollback()


@contextmanager
def attempt(connection: sqlite3.Connection) -> Iterator[None]:
    """A write transaction that is always rolled back."""
    connection.execute("begin immediate")
    try:
        yield
    finally:
        if connection.in_transaction:
            connection.rollback()


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Translate the errors of the block."""
    try:
        yield
    except (sqlite3.Error, OverflowError, UnicodeEncodeError, OSError) as error:
        raise translate(error, path) from error


def translate(error: Exception, path: Path) -> SluiceError:
    if isinstance(error, OverflowError | UnicodeEncodeError | sqlite3.DataError):
        return DataRefused(str(error))
    if isinstance(error, OSError):
        return Rejected(f"the SQLite file {path} cannot be made: {error}. Check SLUICE_SINK")
    if not isinstance(error, sqlite3.DatabaseError) or isinstance(error, sqlite3.ProgrammingError):
        return Broken(f"wrong use of SQLite: {error}")
    return _from_sqlite(error, path)


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
