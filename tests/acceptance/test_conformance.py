"""The engine's broker behaves as the real one: the same script, the same observations on both."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from agents.core.batch import Out
from tests.engine.broker import Broker, Group, LogPartition, Member, Producer
from tests.engine.clock import MovableClock
from tests.support.kafka import LiveBroker

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]

PARTITIONS = 2
SESSION_MS = 1_500
LINGER_MS = 60_000
JOIN_SECONDS_MAX = 30

Appended = tuple[bytes | None, bytes | None]  # key, value
Seen = tuple[int, bytes | None, bytes | None]  # offset, key, value


class Joined(NamedTuple):
    """A real member as its broker knows it, and what it was given."""

    consumer: Any
    generation: int
    partitions: Collection[TopicPartition]


class MemoryLab:
    """A topic of two partitions, a group, and processes that can be cut off."""

    def __init__(self) -> None:
        self._broker = Broker(MovableClock(), PARTITIONS)
        self._group = Group()
        self._names: set[str] = set()

    async def append(self, partition: int, *records: Appended) -> None:
        self._send(partition, *records).flush()

    async def append_and_die(self, partition: int, *records: Appended) -> None:
        """By a producer that is killed before it flushes."""
        self._send(partition, *records).drop()

    def _send(self, partition: int, *records: Appended) -> Producer:
        producer = Producer(self._broker, "test")
        for key, value in records:
            producer.send(LogPartition("lab", partition), Out(key, value))
        return producer

    async def records(self, partition: int, offset: int) -> Sequence[Any]:
        return self._broker.read(LogPartition("lab", partition), offset)

    async def join(self, name: str) -> Member:
        """A process starts under a static name; one that had it before does not know."""
        if name in self._names:
            return self._group.rejoin(name)
        self._names.add(name)
        return self._group.rebalance({name: range(PARTITIONS)})[name]

    async def expire(self, member: Any, successor: str) -> Member:
        """It sends no heartbeat until its session is over; another one takes its place."""
        self._names = {successor}
        return self._group.rebalance({successor: range(PARTITIONS)})[successor]

    async def commit(self, member: Any, offsets: Mapping[int, int]) -> bool:
        at = {LogPartition("lab", partition): offset for partition, offset in offsets.items()}
        return self._group.commit(member, at)

    async def committed(self) -> Mapping[int, int]:
        return {tp.partition: offset for tp, offset in self._group.committed.items()}


class RealLab:
    """Members are consumers whose heartbeat can be silenced, as that of a frozen process is."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._topic = f"lab-{uuid.uuid4().hex}"
        self._consumers: list[Any] = []

    async def create(self) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self._bootstrap)
        await admin.start()
        config = {"message.timestamp.type": "LogAppendTime"}
        await admin.create_topics([NewTopic(self._topic, PARTITIONS, 1, topic_configs=config)])
        await admin.close()

    async def append(self, partition: int, *records: Appended) -> None:
        async with AIOKafkaProducer(bootstrap_servers=self._bootstrap) as producer:
            for key, value in records:
                await producer.send(self._topic, value, key, partition, timestamp_ms=1)

    async def append_and_die(self, partition: int, *records: Appended) -> None:
        producer = AIOKafkaProducer(bootstrap_servers=self._bootstrap, linger_ms=LINGER_MS)
        await producer.start()
        for key, value in records:
            await producer.send(self._topic, value, key, partition)
        await producer._sender.close()  # it never gets to send them
        await producer.client.close()
        producer._closed = True

    async def records(self, partition: int, offset: int) -> Sequence[Any]:
        tp = TopicPartition(self._topic, partition)
        found: list[Any] = []
        async with AIOKafkaConsumer(bootstrap_servers=self._bootstrap) as consumer:
            consumer.assign([tp])
            end = (await consumer.end_offsets([tp]))[tp]
            consumer.seek(tp, offset)
            while offset + len(found) < end:
                found += (await consumer.getmany(tp, timeout_ms=500)).get(tp, [])
        return found

    async def join(self, name: str) -> Joined:
        consumer = AIOKafkaConsumer(
            self._topic,
            bootstrap_servers=self._bootstrap,
            group_id=self._topic,
            group_instance_id=name,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            session_timeout_ms=SESSION_MS,
            heartbeat_interval_ms=SESSION_MS // 5,
        )
        for other in self._consumers:
            _silence(other)
        self._consumers.append(consumer)
        await consumer.start()
        async with asyncio.timeout(JOIN_SECONDS_MAX):
            while not consumer.assignment():
                await consumer.getmany(timeout_ms=100)
        return Joined(consumer, consumer._coordinator.generation, consumer.assignment())

    async def expire(self, member: Any, successor: str) -> Joined:
        _silence(member.consumer)
        await asyncio.sleep(2 * SESSION_MS / 1000)
        return await self.join(successor)

    async def commit(self, member: Any, offsets: Mapping[int, int]) -> bool:
        try:
            await member.consumer.commit({TopicPartition(self._topic, one): at for one, at in offsets.items()})
        except KafkaError:
            return False
        return True

    async def committed(self) -> Mapping[int, int]:
        admin = AIOKafkaAdminClient(bootstrap_servers=self._bootstrap)
        await admin.start()
        found = await admin.list_consumer_group_offsets(self._topic)
        await admin.close()
        return {tp.partition: one.offset for tp, one in found.items()}

    async def close(self) -> None:
        for consumer in self._consumers:
            await consumer.stop()


def _silence(consumer: Any) -> None:
    async def skipped() -> bool:
        return True

    consumer._coordinator._do_heartbeat = skipped


Lab = MemoryLab | RealLab


async def read(lab: Lab, partition: int, offset: int = 0) -> Sequence[Seen]:
    return [(one.offset, one.key, one.value) for one in await lab.records(partition, offset)]


@pytest.fixture
async def real(broker: LiveBroker) -> AsyncIterator[RealLab]:
    opened = RealLab(broker.bootstrap)
    await opened.create()
    yield opened
    await opened.close()


@pytest.fixture(params=["memory", "real"])
def lab(request: pytest.FixtureRequest) -> Lab:
    if request.param == "memory":
        return MemoryLab()
    opened: RealLab = request.getfixturevalue("real")
    return opened


async def test_each_partition_keeps_its_own_order_and_empty_values(lab: Lab) -> None:
    await lab.append(0, (b"a", b"1"), (b"b", b"2"))
    await lab.append(1, (b"c", b"3"))
    await lab.append(0, (b"a", None), (None, b"4"))
    assert await read(lab, 0) == [(0, b"a", b"1"), (1, b"b", b"2"), (2, b"a", None), (3, None, b"4")]
    assert await read(lab, 0, 2) == [(2, b"a", None), (3, None, b"4")]
    assert await read(lab, 1) == [(0, b"c", b"3")]


async def test_the_time_of_a_record_is_the_brokers(lab: Lab) -> None:
    await lab.append(0, (b"a", b"1"))
    await lab.append(0, (b"a", b"2"))
    first, second = [one.timestamp for one in await lab.records(0, 0)]
    assert 1 < first <= second  # the client said 1


async def test_records_that_were_sent_and_not_flushed_are_lost(lab: Lab) -> None:
    await lab.append(0, (b"a", b"1"))
    await lab.append_and_die(0, (b"a", b"2"), (b"a", b"3"))
    await lab.append(0, (b"a", b"4"))
    assert await read(lab, 0) == [(0, b"a", b"1"), (1, b"a", b"4")]


async def test_after_a_crash_the_same_records_come_again_from_the_committed_offset(lab: Lab) -> None:
    await lab.append(0, (b"a", b"1"), (b"a", b"2"), (b"a", b"3"))
    one = await lab.join("one")
    assert await lab.commit(one, {0: 2})
    again = await lab.join("one")
    assert await lab.committed() == {0: 2}
    assert await read(lab, 0, 2) == [(2, b"a", b"3")]
    assert await lab.commit(again, {0: 1, 1: 0})  # an offset may go back: the group believes its member
    assert await lab.committed() == {0: 1, 1: 0}


async def test_a_static_member_that_starts_again_keeps_its_generation_and_fences_its_old_self(lab: Lab) -> None:
    old = await lab.join("one")
    new = await lab.join("one")
    assert (new.generation, len(new.partitions)) == (old.generation, PARTITIONS)
    assert await lab.commit(new, {0: 3})  # first: aiokafka's answer to a refused commit is to join again
    assert not await lab.commit(old, {0: 5})
    assert await lab.committed() == {0: 3}


async def test_a_member_that_takes_over_has_a_newer_generation_and_the_old_one_commits_nothing(lab: Lab) -> None:
    frozen = await lab.join("one")
    assert await lab.commit(frozen, {0: 1})
    successor = await lab.expire(frozen, "two")
    assert successor.generation > frozen.generation
    assert len(successor.partitions) == PARTITIONS
    assert not await lab.commit(frozen, {0: 9, 1: 9})
    assert await lab.commit(successor, {1: 2})
    assert await lab.committed() == {0: 1, 1: 2}
