"""Interruptions in any SQL database: how often a command was begun by processes that ended before it did."""

from collections.abc import Mapping, Sequence

import msgspec

from agents.activities.interruptions import Begun
from service.clock import Clock
from service.sinks.sink import SqlSink
from topics.catalog import MESSAGE_RETENTION_MS


class InterruptionTable:
    """The InterruptionStore of agents.activities, in the sink's database. What no message is about any more is deleted
    along with what has ended."""

    def __init__(self, sink: SqlSink, clock: Clock) -> None:
        self._sink = sink
        self._clock = clock

    async def interruptions(self, commands: Sequence[str]) -> Mapping[str, int]:
        found = await self._sink.fetch(self._sink.sql["interruptions"], _json(commands))
        return {str(command): int(times) for command, times in found}

    async def begin(self, begun: Sequence[Begun]) -> None:
        rows = sorted(set(begun))
        await self._sink.fetch(self._sink.sql["begin_commands"], _json(rows), self._now_ms())

    async def end(self, commands: Sequence[str]) -> None:
        await self._sink.fetch(
            self._sink.sql["end_commands"], _json(sorted(commands)), self._now_ms() - MESSAGE_RETENTION_MS
        )

    def _now_ms(self) -> int:
        return int(self._clock.now().timestamp() * 1000)


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
