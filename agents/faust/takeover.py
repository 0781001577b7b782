"""Takeover of partitions: an epoch begins with a record in the changelog, and with all in front of it restored.

A process that was cut off may send what it had in its buffer whenever it wakes up: also when its successor has restored
the table and put nothing of its own yet. What lies in front of an epoch's first record counts for every reader, so the
successor has to know it; what lies behind it counts for nobody.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

from faust.types import TP

from agents.core.batch import Out
from agents.faust.ranges import read_range
from tables.logs import KEY, FirstRecord
from tables.stores import StrictTable

log = logging.getLogger("sluice.worker")


async def take_over(app: Any, table: StrictTable, partitions: Sequence[int], now_ms: Callable[[], int]) -> bool:
    """Hold these partitions, which have been restored, from now on. False if a rebalance came between."""
    takeovers = [Takeover(app, table, number, now_ms) for number in partitions]  # before the first wait: all are held
    return all(await asyncio.gather(*(one.run() for one in takeovers)))


class Takeover:
    """One partition's."""

    def __init__(self, app: Any, table: StrictTable, partition: int, now_ms: Callable[[], int]) -> None:
        self._app = app
        self._table = table
        self._partition = partition
        self._now_ms = now_ms
        self._tp = TP(table.changelog_topic_name, partition)
        self._generation: int = app.consumer_generation_id
        self._changelog = table.changelog(partition)

    async def run(self) -> bool:
        """False if the partition was taken away meanwhile."""
        while self._is_held:
            value = self._table.first_record(self._partition, self._generation, self._now_ms())
            first = FirstRecord(value, await self._put(value))
            if await self._restore_up_to(first.offset) and self._table.begin_epoch(self._partition, first):
                return True
        return False

    @property
    def _is_held(self) -> bool:
        return self._table.changelogs.get(self._partition) is self._changelog

    async def _put(self, value: bytes) -> int:
        """The offset that the changelog has the first record at."""
        offsets: list[int] = []
        outs, deliveries, producer = [Out(KEY, value)], self._app.deliveries, self._app.producer._producer
        await deliveries.send(producer, *self._tp, outs, lambda tp, first, last: offsets.append(first))
        await self._app.producer.flush()
        return offsets[0]

    async def _restore_up_to(self, end: int) -> bool:
        """All in front of this offset is in the store; False if the partition was taken away meanwhile."""
        known = self._changelog.known
        if known >= end or not self._is_held:
            return self._is_held
        facts = {"sluice.partition": self._partition, "sluice.offsets": end - known}
        log.warning("records arrived behind the restore", extra=facts)

        def restore(records: Sequence[Any]) -> bool:
            if self._is_held:
                self._table.restore(self._partition, [one for one in records if one.offset < end])
            return self._is_held

        return await read_range(self._app, self._tp, known, end, restore)
