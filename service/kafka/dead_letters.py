"""Reading the dead letters: the newest ones, a certain one, or those that are buried from now on. Never moves a group.

A letter stands in the partition that it came from. One may be buried twice, after a crash: it is shown once.
"""

import heapq
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from service.clock import Clock
from service.kafka.client import client_arguments
from service.kafka.cluster import open_cluster
from service.settings import Settings
from topics.catalog import DEAD_LETTERS
from topics.dead_letters import DeadLetter, from_record
from topics.errors import Rejected, Retryable

LISTED_MAX = 1_000
SEARCHED_MAX = 100_000  # letters of one partition, the newest; an older one is not found
POLL_MS = 500
POLL_RECORDS_MAX = 500
SILENCE_SECONDS_MAX = 30.0  # a broker that has more to give and gives nothing for so long is given up

Origin = tuple[str, int, int]


@dataclass(frozen=True, slots=True)
class StoredDeadLetter:
    """A dead letter where it stands: `offset` in the dead letters' partition, `stored_at` in Unix ms."""

    letter: DeadLetter
    partition: int
    offset: int
    stored_at: int
    value_bytes: int

    @property
    def origin(self) -> Origin:
        return self.letter.topic, self.letter.partition, self.letter.offset


class Newest(NamedTuple):
    """The newest burials, the newest first, without their values; `more` older ones are in the topic, at most."""

    letters: tuple[StoredDeadLetter, ...]
    more: int


class DeadLetterReader:
    """The dead letters' topic, open for reading."""

    def __init__(self, consumer: Any, partitions: Sequence[TopicPartition], clock: Clock) -> None:
        self._consumer = consumer
        self._partitions = partitions
        self._clock = clock

    async def newest(self, limit: int) -> Newest:
        """Each letter once. Memory: `limit` letters without their values, and one poll's records."""
        ends = await self._seek_back(self._partitions, limit)
        begins = await self._consumer.beginning_offsets(list(ends))
        kept: dict[Origin, StoredDeadLetter] = {}
        duplicates = 0
        async for stored in self._until(ends):
            duplicates += stored.origin in kept
            kept[stored.origin] = replace(stored, letter=replace(stored.letter, value=None))
            if len(kept) > 2 * limit:
                kept = {one.origin: one for one in _newest(kept, limit)}
        found = _newest(kept, limit)
        in_topic = sum(ends[tp] - begins[tp] for tp in ends)
        return Newest(tuple(found), in_topic - duplicates - len(found))

    async def find(self, origin: Origin) -> StoredDeadLetter | None:
        """The letter that came from this topic, partition and offset."""
        own = [tp for tp in self._partitions if tp.partition == origin[1]]
        ends = await self._seek_back(own, SEARCHED_MAX)
        async for stored in self._until(ends):
            if stored.origin == origin:
                return stored
        return None

    async def begin_watch(self) -> None:
        """`new` tells what is buried from this moment on."""
        ends = await self._consumer.end_offsets(list(self._partitions))
        self._consumer.assign(list(self._partitions))
        for tp, end in ends.items():
            self._consumer.seek(tp, end)

    async def new(self) -> list[StoredDeadLetter]:
        """What was buried since the last call, as far as it has arrived. Retryable: nobody can tell now."""
        try:
            fetched = await self._consumer.getmany(timeout_ms=0, max_records=POLL_RECORDS_MAX)
        except KafkaError as error:
            raise Retryable(f"the dead letters cannot be read now: {error!r}") from error
        return [_stored(record) for records in fetched.values() for record in records]

    async def _seek_back(self, partitions: Sequence[TopicPartition], count: int) -> dict[TopicPartition, int]:
        """Stand before the newest `count` of each partition; where each one ends."""
        begins = await self._consumer.beginning_offsets(list(partitions))
        ends: dict[TopicPartition, int] = await self._consumer.end_offsets(list(partitions))
        self._consumer.assign(list(partitions))
        for tp in partitions:
            self._consumer.seek(tp, max(begins[tp], ends[tp] - count))
        return ends

    async def _until(self, ends: dict[TopicPartition, int]) -> AsyncIterator[StoredDeadLetter]:
        """Everything before `ends`; what is buried meanwhile is left."""
        gives_up_at = self._clock.monotonic() + SILENCE_SECONDS_MAX
        while [tp for tp in ends if await self._consumer.position(tp) < ends[tp]]:
            fetched = await self._consumer.getmany(timeout_ms=POLL_MS, max_records=POLL_RECORDS_MAX)
            for tp, records in fetched.items():
                gives_up_at = self._clock.monotonic() + SILENCE_SECONDS_MAX
                for record in records:
                    if record.offset < ends[tp]:
                        yield _stored(record)
            if self._clock.monotonic() >= gives_up_at:
                raise Retryable(f"Kafka gave no dead letter for {SILENCE_SECONDS_MAX:.0f} s: are its brokers well?")


@asynccontextmanager
async def open_dead_letters(settings: Settings, clock: Clock) -> AsyncIterator[DeadLetterReader]:
    """Rejected: the topic is not there. Retryable: Kafka cannot be reached, or does not do as asked."""
    arguments = client_arguments(settings)
    async with open_cluster(arguments) as cluster:
        found = (await cluster.topics()).get(DEAD_LETTERS)
    if found is None:
        raise Rejected(f"the topic {DEAD_LETTERS} is missing on {settings.bootstrap}: run `sluice topics create`")
    partitions = [TopicPartition(DEAD_LETTERS, number) for number in range(found.partitions)]
    consumer = AIOKafkaConsumer(**arguments, group_id=None, enable_auto_commit=False, auto_offset_reset="earliest")
    try:
        await consumer.start()
        yield DeadLetterReader(consumer, partitions, clock)
    except KafkaError as error:
        raise Retryable(f"the dead letters on {settings.bootstrap} cannot be read now: {error!r}") from error
    finally:
        await consumer.stop()


def _newest(kept: dict[Origin, StoredDeadLetter], limit: int) -> list[StoredDeadLetter]:
    return heapq.nlargest(limit, kept.values(), key=lambda one: (one.stored_at, one.partition, one.offset))


def _stored(record: Any) -> StoredDeadLetter:
    letter = from_record(record.key, record.value, record.headers)
    return StoredDeadLetter(letter, record.partition, record.offset, record.timestamp, len(record.value or b""))
