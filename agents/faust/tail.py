"""The tail of the changelog: what a process that was cut off puts behind the owner's records is overtaken again.

Such a process may send what it had in hand whenever it wakes up, which no timeout bounds; so its successor looks for as
long as it holds the partition. It costs a request for the ends: the tail is read only where somebody else's records are
between ours, or behind them.
"""

import logging
from collections.abc import Sequence
from functools import partial
from typing import Any

from aiokafka.errors import KafkaError
from faust.types import TP

from agents.core.batch import Out
from agents.faust.ranges import read_range
from agents.faust.watchdog import ends_of
from tables.changelog import Changelog, tombstone_headers
from tables.stores import StrictTable
from topics.errors import Broken

log = logging.getLogger("sluice.worker")

# Until a look, compaction must leave both records: min.compaction.lag.ms of the changelog is much longer.
TAIL_SECONDS = 5.0


async def watch_tails(app: Any) -> None:
    """For as long as the process lives: look at the tail of each partition that is held."""
    ends: dict[TP, int] = {}
    while not app.should_stop:
        await app.sleep(TAIL_SECONDS)
        if app.rebalancing or app.tables.recovery.in_recovery:
            ends = {}
            continue
        tails = [Tail(app, table, number) for table in app.strict_tables for number in sorted(table.changelogs)]
        try:
            for tail in tails:
                await tail.look(ends.get(tail.tp, 0))
        except Broken as error:
            app.die(str(error))
            return
        ends = dict(await ends_of(app.consumer, [tail.tp for tail in tails]))


class Tail:
    """One partition's, while it is held."""

    def __init__(self, app: Any, table: StrictTable, partition: int) -> None:
        self.tp = TP(table.changelog_topic_name, partition)
        self._app = app
        self._table = table
        self._changelog: Changelog = table.changelogs[partition]

    async def look(self, end: int) -> None:
        """`end` is where the changelog ended at the last look: what was on its way then is confirmed by now, so that
        whatever is not known to be ours is somebody else's."""
        if self._changelog.known < end:
            await self._read(end)
        if self._changelog.overtaken:
            await self._put_again()

    @property
    def _is_held(self) -> bool:
        return self._table.changelogs.get(self.tp.partition) is self._changelog

    async def _read(self, end: int) -> None:
        """Up to `end`, as far as the broker gives it in time. Until then the store notes no later position."""
        try:
            if await read_range(self._app, self.tp, self._changelog.known, end, self._fold):
                self._changelog.note_read(end)
        except (KafkaError, TimeoutError) as error:
            facts = {"sluice.partition": self.tp.partition, "sluice.error": repr(error)}
            log.warning("tail of the changelog not read", extra=facts)

    def _fold(self, records: Sequence[Any]) -> bool:
        if self._is_held:
            self._changelog.fold(records, partial(self._table.read, self.tp.partition))
        return self._is_held

    async def _put_again(self) -> None:
        """The table's own records, behind those that do not count. No batch is decided meanwhile."""
        async with self._app.consumer.batch_lock:
            if not self._is_held:
                return
            values = self._table.put_overtaken(self.tp.partition)
            retired = tombstone_headers(self._changelog.epoch, 0)
            outs = [Out(key, value, retired if value is None else ()) for key, value in values.items()]
            await self._app.publish_records(self._table, self.tp.partition, outs)
            self._changelog.note_put_again()
        facts = {"sluice.partition": self.tp.partition, "sluice.records": len(outs)}
        log.warning("records of a process that was cut off were overtaken", extra=facts)
