"""The fetcher's consumer: commands read ahead within a bound per partition, offsets committed in order."""

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError

from agents.core.reading import STOPPED_AT_LOSS, LostRecords
from service.fetcher.scheduler import OffsetTracker
from service.kafka.client import ClientArguments
from service.kafka.consumer import group_member, lost_before, unread
from topics.errors import Broken

log = logging.getLogger("sluice.fetcher")

GROUP = "sluice-fetchers"
POLL_RECORDS_MAX = 500
POLL_MS = 200
# Unfinished commands of one partition; at the maximum it is paused until half of them are done. Others are read. Half
# is more than all commands of some dozens of organisations whose API hangs.
UNFINISHED_PER_PARTITION_MAX = 5_000
UNCOMMITTED_PER_PARTITION_MAX = 10_000  # likewise; those behind one that takes long

Revoked = Callable[[set[TopicPartition]], Awaitable[None]]


class Fetched(NamedTuple):
    """A record, and the offsets of the assignment that it was read in: a partition may be assigned again later.

    `is_redelivered`: another process may have had it, since it was there before the assignment was.
    """

    tp: TopicPartition
    record: Any
    tracker: OffsetTracker
    is_redelivered: bool

    def done(self) -> None:
        """Count the record as done. Without effect if its partition was revoked after it was read."""
        self.tracker.end(self.record.offset)


class CommandConsumer(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """`on_revoked` drops the unfinished commands of revoked partitions: another process continues with them.

    Commands that left the broker before they were read are named; with `stops_at_loss` reading then ends.
    """

    def __init__(
        self,
        client: ClientArguments,
        name: str,
        topics: Sequence[str],
        on_revoked: Revoked,
        stops_at_loss: bool = False,
    ) -> None:
        self._topics = list(topics)
        self._on_revoked = on_revoked
        self._stops_at_loss = stops_at_loss
        self._lost: list[LostRecords] = []
        self._consumer = group_member(client, GROUP, name)
        self._trackers: dict[TopicPartition, OffsetTracker] = {}
        self._fresh_from: dict[TopicPartition, int] = {}  # the partition's end when its first records were read
        self._paused: set[TopicPartition] = set()
        self.reads = self.commits = 0

    async def start(self) -> None:
        await self._consumer.start()
        self._consumer.subscribe(self._topics, listener=self)

    async def stop(self) -> None:
        await self.commit()
        await self._consumer.stop()

    async def poll(self) -> list[Fetched]:
        """The next records; `done` must be called on each. Broken at a loss, if that is how it is set."""
        fetched = await self._consumer.getmany(timeout_ms=POLL_MS, max_records=POLL_RECORDS_MAX)
        new = []
        for tp, records in fetched.items():
            tracker = self._trackers.setdefault(tp, OffsetTracker())
            if tracker.read_offset is not None and tracker.read_offset < records[0].offset:
                self._lost.append(LostRecords(tp.topic, tp.partition, tracker.read_offset, records[0].offset))
            fresh_from = self._fresh_from.setdefault(tp, self._consumer.highwater(tp) or records[-1].offset + 1)
            for record in records:
                tracker.begin(record.offset)
                new.append(Fetched(tp, record, tracker, record.offset < fresh_from))
        self.reads += len(new)
        self._pause_or_resume()
        self._report_lost()
        return new

    def holds(self, fetched: Fetched) -> bool:
        """Whether the record's partition was not revoked after it was read."""
        return self._trackers.get(fetched.tp) is fetched.tracker

    async def commit(self) -> None:
        await self._commit(self._trackers)

    async def _commit(self, trackers: Mapping[TopicPartition, OffsetTracker]) -> None:
        done = {tp: one.next_offset for tp, one in trackers.items() if one.next_offset is not None}
        if not done:
            return
        try:
            await self._consumer.commit(done)
        except KafkaError as error:  # retried soon; the result of a redelivered command comes from the ledger
            log.warning("offsets not committed", extra={"sluice.error": str(error)})
            return
        self.commits += 1
        for tp, offset in done.items():
            if tp in trackers and trackers[tp].next_offset == offset:
                trackers[tp].next_offset = None

    @property
    def uncommitted(self) -> int:
        """Partitions with offsets to commit."""
        return sum(tracker.next_offset is not None for tracker in self._trackers.values())

    async def unread(self) -> int | None:
        return await unread(self._consumer)

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Stop at once: another process continues from the last commit, and pages would be fetched twice.

        Nothing of these partitions is held meanwhile, nor what a poll still returns of them.
        """
        lost = {tp: self._trackers.pop(tp, OffsetTracker()) for tp in revoked}
        self._paused -= lost.keys()
        self._fresh_from = {tp: offset for tp, offset in self._fresh_from.items() if tp not in lost}
        await self._on_revoked(set(lost))
        await self._commit(lost)
        for tp in lost:
            self._trackers.pop(tp, None)

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        for tp in assigned:
            self._trackers.setdefault(tp, OffsetTracker())  # `poll` may return its first records before this call
        try:
            self._lost += await lost_before(self._consumer, assigned)
        except KafkaError as error:
            log.warning("offsets not compared with what the broker has", extra={"sluice.error": str(error)})

    def _report_lost(self) -> None:
        """A workflow asks for its lost commands again when its deadline passes: here nobody knows which they were."""
        lost, self._lost = self._lost, []
        for one in lost:
            if self._stops_at_loss:
                raise Broken(f"{one}. {STOPPED_AT_LOSS}")
            facts = {"sluice.records_lost": one.count}
            log.error("%s. What was to be done is asked for again when its deadline passes", one, extra=facts)

    def _pause_or_resume(self) -> None:
        full = {tp for tp, one in self._trackers.items() if _load(one) >= 1.0} - self._paused
        free = {tp for tp in self._paused if _load(self._trackers[tp]) <= 0.5}
        if full:
            self._consumer.pause(*full)
        if free:
            self._consumer.resume(*free)
        self._paused = (self._paused | full) - free


def _load(tracker: OffsetTracker) -> float:
    return max(len(tracker) / UNFINISHED_PER_PARTITION_MAX, tracker.uncommitted / UNCOMMITTED_PER_PARTITION_MAX)
