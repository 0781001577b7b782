"""The Faust app: one chunk of records from the fetch to the publish."""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any

import faust

from agents.core.batch import Batch, Out
from agents.core.outbox import Outbox, check_order
from agents.failpoints import failpoints
from agents.faust.consumer import StrictTransport
from agents.faust.producer import Deliveries
from agents.faust.reading import Reading
from agents.faust.tail import watch_tails
from agents.faust.takeover import take_over
from agents.faust.watchdog import watch, worker_probes
from agents.watchdog import FreezeDetector, watch_progress
from tables.stores import StrictTable
from topics.catalog import DEAD_LETTERS
from topics.command import Control
from topics.errors import Broken

log = logging.getLogger("sluice.worker")

STOP_SECONDS_MAX = 30.0
DIE_SECONDS_MAX = 5.0
YIELD_SECONDS = 0.001  # in a long poll, so that what was published goes out while the rest is decided
EXIT_DIE_WAS_SLOW = 70
EXIT_STOP_WAS_SLOW = 71

Handler = Callable[[Batch], None]
Restored = Callable[[Sequence[int]], None]


class StrictApp(faust.App):  # type: ignore[misc]  # faust has no types
    """A worker's app. Exit codes: 1 a crash, 70 a crash that could not clean up, 71 a stop that hung, 72 the process
    was frozen, 73 no progress."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.strict_tables: list[StrictTable] = []
        self.next_offset: dict[Any, int | None] = {}  # source partition -> the offset that must come next
        self.deliveries = Deliveries(lambda error: self.die(repr(error)))
        self.freeze_detector = FreezeDetector()
        self._handlers: dict[str, tuple[Handler, StrictTable]] = {}
        self._outboxes: dict[StrictTable, Outbox] = {}
        super().__init__(*args, **{"Table": StrictTable, **kwargs})

    def _new_transport(self) -> StrictTransport:
        return StrictTransport(self.conf.broker_consumer, self)

    def _new_producer_transport(self) -> StrictTransport:
        return StrictTransport(self.conf.broker_producer, self)

    def handle_batches(
        self,
        channel: Any,
        table: StrictTable,
        handler: Handler,
        now_ms: Callable[[], int],
        on_restored: Restored,
        reading: Reading,
    ) -> None:
        """Give every batch of the channel's topics to `handler`. One handler per table: two would lose updates.

        `on_restored` gets the partitions that are held from now on, before `reading` begins.
        """
        self.reading = reading
        self._handlers.update({topic: (handler, table) for topic in channel.topics})

        async def restored() -> None:
            held = sorted({tp.partition for tp in self.tables.recovery.active_tps})
            try:
                self._check_positions(table)
                if await take_over(self, table, held, now_ms):
                    on_restored(held)
                else:  # nothing may be read before the next restore
                    await self.tables.recovery.signal_recovery_start.wait()
            except Exception as error:  # Faust would swallow it, and no deadline would ever pass
                self.die(f"the table cannot be used: {error}")

        table.on_recover(restored)

        async def subscription(stream: Any) -> None:
            async for event in stream.events():
                self.die(f"an event went past the batch layer: {event.message.tp}")

        self.agent(channel, name="deciders", concurrency=1)(subscription)

    def _check_positions(self, table: StrictTable) -> None:
        """Broken if a store has read further than its changelog goes. All such stores are marked for the next start."""
        recovery = self.tables.recovery
        ahead: list[str] = []
        for tp in sorted(recovery.active_tps):
            reached, end = recovery.active_offsets.get(tp), recovery.active_highwaters.get(tp)
            if reached is not None and end is not None and reached > end:
                ahead.append(f"it has read {tp.topic}/{tp.partition} up to offset {reached}, and Kafka has {end} now")
                table.discard_later(tp.partition, ahead[-1])
        if ahead:
            more = f", and {len(ahead) - 1} more" if len(ahead) > 1 else ""
            raise Broken(f"a store is ahead of its changelog ({ahead[0]}{more}): a restart discards and restores it")

    async def handle_chunk(self, consumer: Any, tp: Any, records: Sequence[Any]) -> None:
        """Records of one partition, in order: restore them, or decide on them. `publish` sends what follows."""
        if tp in self.tables.recovery.tp_to_table:
            await self._restore(tp, records)
            return
        self.freeze_detector.check(self.conf.broker_session_timeout)
        check_order(self.next_offset.get(tp), records, f"{tp.topic}/{tp.partition}")
        handler, table = self._handlers[tp.topic]
        batch = Batch(table, tp, records, table.epoch(tp.partition))
        handler(batch)
        await self._store(batch, table)
        self.next_offset[tp] = records[-1].offset + 1
        self.monitor.stream_inbound_time[tp] = time.monotonic()
        outbox = self._outboxes.setdefault(table, Outbox())
        outbox.add(batch)
        if outbox.is_full:
            await self.publish(consumer)
            await asyncio.sleep(YIELD_SECONDS)

    async def _restore(self, tp: Any, records: Sequence[Any]) -> None:
        recovery = self.tables.recovery
        offsets = recovery.active_offsets if tp in recovery.active_tps else recovery.standby_offsets
        recovery.tp_to_table[tp].restore(tp.partition, records)
        offsets[tp] = max(records[-1].offset, offsets.get(tp) or 0)
        # Faust's own task decides when recovery ends: show it the last record.
        last = SimpleNamespace(message=SimpleNamespace(tp=tp, offset=records[-1].offset))
        self.tables.changelog_queue.put_nowait(last)
        await asyncio.sleep(0)

    async def _store(self, batch: Batch, table: StrictTable) -> None:
        """The store first: it may be ahead of the changelog (a replay repairs that), never behind."""
        if batch.changes:
            table.store(batch.tp.partition, batch.changes)
            if failpoints.armed:
                await failpoints.reach("after_store")

    async def publish(self, consumer: Any) -> None:
        """Everything that was decided and not published yet; only then may its source be committed."""
        producer = self.producer._producer
        for table, outbox in self._outboxes.items():
            for partition, outs in outbox.changelog.items():
                await self.publish_records(table, partition, outs)
            if failpoints.armed and outbox.changelog:
                await failpoints.reach("after_changelog")
            for (topic, target), outs in outbox.outputs.items():
                if failpoints.armed:
                    outs = [out for out in outs if not await self._is_dropped(topic)]
                await self.deliveries.send(producer, topic, target, outs)
            consumer.handled.update(outbox.handled)
        self._outboxes = {}

    async def _is_dropped(self, topic: str) -> bool:
        """Whether a failpoint loses the record: a decision's output, which a deadline asks for again.

        Not one that is passed on or a dead letter: nobody would send those again.
        """
        is_passed_on = topic in self._handlers and topic != Control.topic
        return not is_passed_on and topic != DEAD_LETTERS and await failpoints.reach("emit")

    async def publish_records(self, table: StrictTable, partition: int, outs: Sequence[Out]) -> None:
        """Send records to the table's changelog."""
        table.note_sent(partition, outs)
        producer = self.producer._producer
        await self.deliveries.send(producer, table.changelog_topic_name, partition, outs, table.note_delivered)

    @property
    def decided(self) -> dict[Any, int]:
        """Source partition -> the offset up to which it is decided on, where that is not all published."""
        return {tp: offset for outbox in self._outboxes.values() for tp, offset in outbox.handled.items()}

    def forget_decided(self) -> None:
        """What was not published is decided again by the process that reads its source again."""
        self._outboxes = {}

    def die(self, why: str) -> None:
        """End the process with nothing more committed; the supervisor starts a fresh one."""
        log.critical("fatal: %s; the process ends within %s s", why, DIE_SECONDS_MAX)
        asyncio.get_event_loop().call_later(DIE_SECONDS_MAX, os._exit, EXIT_DIE_WAS_SLOW)
        self._dying = asyncio.ensure_future(self.crash(RuntimeError(why)))

    async def on_start(self) -> None:
        await super().on_start()
        self.add_future(watch(self))
        self.add_future(self.reading.watch(self))
        self.add_future(watch_tails(self))
        self.add_future(watch_progress(partial(worker_probes, self)))

    async def on_stop(self) -> None:
        asyncio.get_event_loop().call_later(STOP_SECONDS_MAX, os._exit, EXIT_STOP_WAS_SLOW)
        await super().on_stop()


class StrictWorker(faust.Worker):  # type: ignore[misc]  # faust has no types
    """Faust's worker without its logging set-up and its spinner: the process has its own."""

    def _setup_logging(self) -> None:
        self.spinner = None


def run_app(app: StrictApp, loop: asyncio.AbstractEventLoop) -> None:
    """Run the app until SIGTERM or SIGINT; exits the process with 0 after a clean stop, 1 after a crash."""
    StrictWorker(app, loop=loop, loglevel="INFO", redirect_stdouts=False).execute_from_commandline()
