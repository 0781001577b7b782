"""Consumer: fetches, seeks, revokes and commits, each in the order that loses nothing."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from aiokafka.errors import NoOffsetForPartitionError, OffsetOutOfRangeError
from faust.transport.drivers import aiokafka as driver

from agents.failpoints import failpoints
from agents.faust.producer import StrictProducer
from topics.catalog import FETCH_WAIT_MS

CHUNK_RECORDS_MAX = 500  # records per call of the handler
FETCH_SECONDS = 0.5
IDLE_SECONDS = 0.05
PAUSE_SECONDS = 0.003  # after a batch, so that records come several at a time: each batch costs requests to the broker


class StrictConsumerThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]  # faust has no types
    def _create_worker_consumer(self, transport: Any) -> Any:
        """Faust lets a fetch wait for 1.5 s, in which a partition that is left out of it hears nothing."""
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS
        return consumer


class StrictConsumer(driver.Consumer):  # type: ignore[misc]  # faust has no types
    """Two locks, since a fetch may wait for the end of a rebalance, and a rebalance for the batch in hand.

    `_fetch_lock`: no seek between a fetch and the end of its handling. `batch_lock`: a revocation waits for the
    batch, never for the fetch.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._fetch_lock, self.batch_lock = asyncio.Lock(), asyncio.Lock()
        self._must_begin_again = False
        self.handled: dict[Any, int] = {}  # partition -> next offset to commit

    def _new_consumer_thread(self) -> StrictConsumerThread:
        return StrictConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def _drain_messages(self, fetcher: Any) -> None:
        try:
            while not (self.should_stop or fetcher.should_stop):
                if not self.flow_active:
                    await self.wait(self.can_resume_flow)
                elif self._must_begin_again:
                    await self.perform_seek()
                elif not await self._drain_once():
                    await self.sleep(IDLE_SECONDS)
                await asyncio.sleep(PAUSE_SECONDS)
        except (*self.consumer_stopped_errors, asyncio.CancelledError):
            if not self.app.should_stop:
                raise
        except Exception as error:
            self.app.deliveries.fail(error)
            raise

    async def _drain_once(self) -> bool:
        async with self._fetch_lock:
            generation, active = self.app.consumer_generation_id, frozenset(self._get_active_partitions())
            if not active:  # aiokafka takes an empty set for "all partitions"
                return False
            try:
                fetched = await self._getmany(active_partitions=active, timeout=FETCH_SECONDS)
            except (OffsetOutOfRangeError, NoOffsetForPartitionError):  # records are gone, or the topic is another
                self.begin_again()
                return True
            async with self.batch_lock:
                await self._handle(fetched, generation)
                await self.app.publish(self)
        return True

    async def _handle(self, fetched: Mapping[Any, Sequence[Any]], generation: int) -> None:
        for tp, records in fetched.items():
            for start in range(0, len(records), CHUNK_RECORDS_MAX):
                if not self.flow_active or self.should_stop or generation != self.app.consumer_generation_id:
                    return  # a seek follows, and with it these records come again
                if tp in self._get_active_partitions():
                    await self.app.handle_chunk(self, tp, records[start : start + CHUNK_RECORDS_MAX])

    def resume_partitions(self, tps: Iterable[Any]) -> None:
        """Changelogs at once; source partitions only after the seek (stock Faust resumes them before)."""
        super().resume_partitions({tp for tp in tps if self._is_changelog_tp(tp)})

    def begin_again(self) -> None:
        """Find out anew, before the next fetch, where the source partitions are to be read from."""
        self._must_begin_again = True

    async def perform_seek(self) -> None:
        """Begin to read the source partitions."""
        async with self._fetch_lock:
            self.handled.clear()
            self.app.forget_decided()
            self._must_begin_again = False
            tps = [tp for tp in self.assignment() if not self._is_changelog_tp(tp)]
            starts = await self.app.reading.begin(self.app, self, tps)
            self._committed_offset.update(starts)
            await super().seek_wait(starts)
            self.app.next_offset = starts
            super().resume_partitions(tps)

    async def seek_wait(self, partitions: Mapping[Any, int]) -> None:
        """Faust's own seeks, in changelogs: not before their beginning, since aiokafka may not reset a position."""
        begins = await self.earliest_offsets(*partitions)
        await super().seek_wait({tp: max(offset, begins[tp]) for tp, offset in partitions.items()})

    async def wait_empty(self) -> None:
        """Before a revocation and at the stop: the batch in hand ends first."""
        async with self.batch_lock:
            await super().wait_empty()

    async def on_partitions_revoked(self, revoked: Any) -> None:
        await super().on_partitions_revoked(revoked)
        self.handled.clear()
        self.app.forget_decided()
        for table in self.app.strict_tables:
            table.release()

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> list[Any]:
        return [tp for tp in self.handled if topics is None or tp in topics or tp.topic in topics]

    def _new_offset(self, tp: Any) -> int | None:
        return self.handled.get(tp)

    async def _commit_offsets(self, offsets: Any, start_new_transaction: bool = True) -> bool:
        self.app.deliveries.check()
        ok: bool = await super()._commit_offsets(offsets, start_new_transaction)  # flushes first
        if ok:
            for table in self.app.strict_tables:
                table.persist_offsets()
        return ok

    async def _commit(self, offsets: Any) -> bool:
        if failpoints.armed:
            await failpoints.reach("after_flush")
        done: bool = await super()._commit(offsets)
        return done


class StrictTransport(driver.Transport):  # type: ignore[misc]  # faust has no types
    Consumer = StrictConsumer
    Producer = StrictProducer
