"""The SQLite sink alone: the file, its owner, its other users."""

import sqlite3
from pathlib import Path

import pytest

import service.sinks.sqlite.connection
from service.clock import SystemClock
from service.sinks import open_sink
from service.sinks.sqlite.tables import statements
from tests.sinks.builders import adapter, open_lease, run
from topics.errors import Broken, Rejected, Retryable


async def test_the_file_and_its_directory_are_made_with_a_write_ahead_log(tmp_path: Path) -> None:
    file = tmp_path / "some" / "where" / "sluice.db"
    sink = open_sink(f"sqlite:///{file}", SystemClock())
    await sink.prepare(adapter())
    await sink.close()
    connection = sqlite3.connect(file)
    assert connection.execute("pragma journal_mode").fetchone() == ("wal",)
    connection.close()


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("letter/sluice.db", r"cannot be made: .* Check SLUICE_SINK"),
        ("letter", "letter cannot be used: file is not a database"),
    ],
)
async def test_a_file_that_cannot_be_made_or_is_no_database_is_refused(tmp_path: Path, path: str, why: str) -> None:
    (tmp_path / "letter").write_text("Dear Sir or Madam, " * 100)
    sink = open_sink(f"sqlite:///{tmp_path}/{path}", SystemClock())
    with pytest.raises(Rejected, match=why):
        await sink.prepare(adapter())
    await sink.close()


async def test_a_file_that_another_program_keeps_locked_is_tried_again_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service.sinks.sqlite.connection, "BUSY_TIMEOUT_SECONDS", 0.0)
    sink = open_sink(f"sqlite:///{tmp_path}/sluice.db", SystemClock())
    await sink.prepare(adapter())
    another = sqlite3.connect(tmp_path / "sluice.db", isolation_level=None)
    another.execute("begin immediate")
    with pytest.raises(Retryable, match="cannot be used now: database is locked"):
        await open_lease(sink, run())
    another.execute("rollback")
    assert (await open_lease(sink, run())).is_open
    another.close()
    await sink.close()


async def test_a_sink_that_was_never_used_is_closed(tmp_path: Path) -> None:
    await open_sink(f"sqlite:///{tmp_path}/sluice.db", SystemClock()).close()
    assert not (tmp_path / "sluice.db").exists()


def test_a_script_is_taken_apart_at_the_ends_of_its_statements() -> None:
    script = "-- first; really\ncreate table a (b text default ';');\n\ninsert into a\nvalues ('x;');\n"
    assert [statement.count("\n") for statement in statements(script)] == [2, 3]


def test_a_script_that_ends_within_a_statement_is_our_own_mistake() -> None:
    with pytest.raises(Broken, match="ends within a statement: 'select 1'"):
        list(statements("select 1\n"))
