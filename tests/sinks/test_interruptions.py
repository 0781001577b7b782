"""Interruptions in both databases: counted, shared by all fetchers, removed with their command or its message."""

from datetime import UTC, datetime, timedelta

from agents.activities.interruptions import Begun
from agents.ports import Sink
from service.sinks.interruptions import InterruptionTable
from service.sinks.sink import SqlSink
from tests.sinks.conftest import Database
from topics.catalog import MESSAGE_RETENTION_MS


class At:
    """A clock that stands still."""

    def __init__(self, after_ms: int = 0) -> None:
        self._now = datetime(2026, 1, 5, tzinfo=UTC) + timedelta(milliseconds=after_ms)

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return 0.0


def table(sink: Sink, after_ms: int = 0) -> InterruptionTable:
    assert isinstance(sink, SqlSink)
    return InterruptionTable(sink, At(after_ms))


async def test_interruptions_are_counted_for_every_process(sink: Sink, other: Sink) -> None:
    await table(sink).begin([Begun("b", "acme/toy", 1), Begun("a", "acme/toy", 1), Begun("a", "acme/toy", 1)])
    await table(other).begin([Begun("a", "acme/toy", 2)])
    assert await table(sink).interruptions(["a", "b", "c"]) == {"a": 2, "b": 1}
    await table(sink).end(["a", "c"])
    assert await table(other).interruptions(["a", "b"]) == {"b": 1}
    assert await table(other).interruptions([]) == {}


async def test_what_no_message_is_about_any_more_is_removed(sink: Sink, database: Database) -> None:
    await table(sink).begin([Begun("old", "acme/toy", 1)])
    await table(sink, after_ms=1_000).begin([Begun("young", "acme/toy", 1)])
    await table(sink, after_ms=MESSAGE_RETENTION_MS + 500).end([])
    assert await database.query("select command from sluice_interrupted") == [("young",)]
