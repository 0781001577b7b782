"""The sinks that the conformance suite runs against, and a way to look into each database past its sink."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agents.deletes import DeletingSink
from service.clock import SystemClock
from service.sinks import open_sink
from service.sinks.postgres import loading
from tests.sinks.builders import adapter
from tests.support.ledger import query


class Database:
    """One database. Sinks that it opens are closed with it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._opened: list[DeletingSink] = []

    def open(self) -> DeletingSink:
        sink = open_sink(self.url, SystemClock())
        self._opened.append(sink)
        return sink

    async def query(self, sql: str) -> list[tuple[Any, ...]]:
        return await query(self.url, sql)

    async def close(self) -> None:
        for sink in self._opened:
            await sink.close()


KINDS = ["sqlite", *(pytest.param(kind, marks=pytest.mark.postgres) for kind in ("postgres", "postgres loading"))]


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of an empty database of either kind; "loading" has few rows go by COPY, as many do."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'below' / 'sluice.db'}"
    if request.param == "postgres loading":
        monkeypatch.setattr(loading, "LOAD_ROWS_MIN", 0)
    dsn: str = request.getfixturevalue("postgres_dsn")
    return dsn


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    found = Database(url)
    yield found
    await found.close()


@pytest.fixture
async def sink(database: Database) -> DeletingSink:
    """A sink that is prepared for the address book."""
    sink = database.open()
    await sink.prepare(adapter())
    return sink


@pytest.fixture
async def other(database: Database, sink: DeletingSink) -> DeletingSink:
    """A second sink on the same database, as another process has one."""
    return database.open()
