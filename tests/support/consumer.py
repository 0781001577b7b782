"""A consumer in memory that reads a log."""

import asyncio
from collections import defaultdict
from typing import Any

from aiokafka import TopicPartition

from tests.engine.broker import LogRecord
from topics.codec import Headers, encode
from topics.command import Command


class Consumer:
    """Reads `log` from its positions on, partition by partition, or from where it begins.

    `committed_offsets` is what the group knows. Commits raise `commit_failures` first, one a call; `read_failure` when
    a partition's ends are read.
    """

    def __init__(self) -> None:
        self.log: dict[TopicPartition, list[LogRecord]] = defaultdict(list)
        self.begins: dict[TopicPartition, int] = {}
        self.positions: dict[TopicPartition, int] = defaultdict(int)
        self.committed_offsets: dict[TopicPartition, int] = {}
        self.held_back: set[TopicPartition] = set()
        self.topics: list[str] = []
        self.listener: Any = None
        self.commit_failures: list[Exception] = []
        self.read_failure: Exception | None = None

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def subscribe(self, topics: list[str], listener: Any = None) -> None:
        self.topics, self.listener = topics, listener

    async def getmany(self, timeout_ms: int, max_records: int) -> dict[TopicPartition, list[LogRecord]]:
        await asyncio.sleep(0)
        fetched, left = {}, max_records
        for tp in [tp for tp in self.log if tp not in self.held_back]:
            self.positions[tp] = max(self.positions[tp], self.begins.get(tp, 0))
            records = self.log[tp][self.positions[tp] :][:left]
            self.positions[tp] += len(records)
            left -= len(records)
            if records:
                fetched[tp] = records
        return fetched

    async def commit(self, offsets: dict[TopicPartition, int] | None = None) -> None:
        if self.commit_failures:
            raise self.commit_failures.pop(0)
        self.committed_offsets.update(self.positions if offsets is None else offsets)

    async def committed(self, tp: TopicPartition) -> int | None:
        return self.committed_offsets.get(tp)

    async def beginning_offsets(self, tps: list[TopicPartition]) -> dict[TopicPartition, int]:
        if self.read_failure is not None:
            raise self.read_failure
        return {tp: self.begins.get(tp, 0) for tp in tps}

    def pause(self, *tps: TopicPartition) -> None:
        self.held_back |= set(tps)

    def resume(self, *tps: TopicPartition) -> None:
        self.held_back -= set(tps)

    def paused(self) -> set[TopicPartition]:
        return self.held_back

    def assignment(self) -> set[TopicPartition]:
        return set(self.log)

    def seek(self, tp: TopicPartition, offset: int) -> None:
        self.positions[tp] = offset

    async def position(self, tp: TopicPartition) -> int:
        return self.positions[tp]

    def highwater(self, tp: TopicPartition) -> int:
        return len(self.log[tp])

    async def end_offsets(self, tps: list[TopicPartition]) -> dict[TopicPartition, int]:
        if self.read_failure is not None:
            raise self.read_failure
        return {tp: len(self.log[tp]) for tp in tps}

    async def rebalance(self, *tps: TopicPartition) -> None:
        """The partitions are revoked and assigned again: reading continues from the last commit."""
        await self.listener.on_partitions_revoked(tps)
        self.held_back -= set(tps)
        self.positions.update({tp: self.committed_offsets.get(tp, 0) for tp in tps})
        await self.listener.on_partitions_assigned(tps)

    def append(
        self, tp: TopicPartition, *messages: Command | bytes, key: bytes | None = None, headers: Headers = ()
    ) -> None:
        for message in messages:
            value = encode(message) if isinstance(message, Command) else message
            self.log[tp].append(LogRecord(tp.topic, tp.partition, len(self.log[tp]), 0, key, value, headers))
