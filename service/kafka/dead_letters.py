"""Reader of dead letters: the newest ones, one by its origin, or those added from now on. It commits no offsets.

A letter has the partition number of its origin. After a crash the topic may have it twice; it is listed once.
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
SEARCHED_MAX = 100_000  # the newest letters of one partition; older ones are not found
POLL_MS = 500
POLL_RECORDS_MAX = 500
FETCH_SECONDS_MAX = 30.0  # for the next records, where the topic has more; then reading fails

Origin = tuple[str, int, int]


@dataclass(frozen=True, slots=True)
class StoredDeadLetter:
    """A dead letter and its position in the topic of dead letters. `stored_at` is Unix ms."""

    letter: DeadLetter
    partition: int
    offset: int
    stored_at: int
    value_bytes: int

    @property
    def origin(self) -> Origin:
        return self.letter.topic, self.letter.partition, self.letter.offset


class Newest(NamedTuple):
    """The newest dead letters, the newest first, without values. The topic has at most `more` older ones."""

    letters: tuple[StoredDeadLetter, ...]
    more: int


class DeadLetterReader:
    """An open consumer of the topic of dead letters."""

    def __init__(self, consumer: Any, partitions: Sequence[TopicPartition], clock: Clock) -> None:
        self._consumer = consumer
        self._partitions = partitions
        self._clock = clock

    async def newest(self, limit: int) -> Newest:
        """Each letter once. Memory: 2 * `limit` letters without their values, and the records of one poll."""
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
        """Make `new` return the letters from this moment on."""
        ends = await self._consumer.end_offsets(list(self._partitions))
        self._consumer.assign(list(self._partitions))
        for tp, end in ends.items():
            self._consumer.seek(tp, end)

    async def new(self) -> list[StoredDeadLetter]:
        """Letters that arrived since the last call. Retryable: Kafka cannot be read now."""
        try:
            fetched = await self._consumer.getmany(timeout_ms=0, max_records=POLL_RECORDS_MAX)
        except KafkaError as error:
            raise Retryable(f"the dead letters cannot be read now: {error!r}") from error
        return [_stored(record) for records in fetched.values() for record in records]

    async def _seek_back(self, partitions: Sequence[TopicPartition], count: int) -> dict[TopicPartition, int]:
        """Seek to the newest `count` records of each partition; return the ends."""
        begins = await self._consumer.beginning_offsets(list(partitions))
        ends: dict[TopicPartition, int] = await self._consumer.end_offsets(list(partitions))
        self._consumer.assign(list(partitions))
        for tp in partitions:
            self._consumer.seek(tp, max(begins[tp], ends[tp] - count))
        return ends

    async def _until(self, ends: dict[TopicPartition, int]) -> AsyncIterator[StoredDeadLetter]:
        """Everything before `ends`, not later letters."""
        deadline = self._clock.monotonic() + FETCH_SECONDS_MAX
        while [tp for tp in ends if await self._consumer.position(tp) < ends[tp]]:
            fetched = await self._consumer.getmany(timeout_ms=POLL_MS, max_records=POLL_RECORDS_MAX)
            for tp, records in fetched.items():
                deadline = self._clock.monotonic() + FETCH_SECONDS_MAX
                for record in records:
                    if record.offset < ends[tp]:
                        yield _stored(record)
            if self._clock.monotonic() >= deadline:
                raise Retryable(f"Kafka sent none of its dead letters for {FETCH_SECONDS_MAX:.0f} s: check its brokers")


@asynccontextmanager
async def open_dead_letters(settings: Settings, clock: Clock) -> AsyncIterator[DeadLetterReader]:
    """Rejected: the topic is missing. Retryable: Kafka cannot be reached, or a request failed."""
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
