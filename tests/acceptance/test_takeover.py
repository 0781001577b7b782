"""Takeover of a partition on real Kafka and RocksDB, with others that put records behind the end of the restore."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from agents.faust.app import StrictApp
from agents.faust.producer import Deliveries
from agents.faust.takeover import take_over
from tables.kinds.sync import SyncState
from tables.logs import KEY, under
from tables.row import Row, encode_row, next_epoch
from tests.engine.broker import LogRecord
from tests.support.kafka import LiveBroker

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]

NOW_MS, GENERATION = 1_000, 1
EPOCH = next_epoch(GENERATION, NOW_MS, 0)
EARLIER = EPOCH - 1


def row(seq: int, epoch: int = EARLIER) -> bytes:
    return encode_row(Row[SyncState](epoch=epoch, seq=seq))


class Partition:
    """One, which was restored from an empty changelog; what a worker's process has for its takeover."""

    def __init__(self, bootstrap: str, home: Path) -> None:
        self._bootstrap = bootstrap
        app = StrictApp(f"lab-{uuid.uuid4().hex}", broker="kafka://-", store="rocksdb://", datadir=home)
        self.table: Any = app.Table("rows", key_type=bytes, value_type=bytes, partitions=1)

    async def open(self) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self._bootstrap)
        await admin.start()
        await admin.create_topics([NewTopic(self.table.changelog_topic_name, 1, 1)])
        await admin.close()
        self._producer = AIOKafkaProducer(bootstrap_servers=self._bootstrap)
        await self._producer.start()

    async def close(self) -> None:
        await self._producer.stop()
        self.table.data._dbs.clear()

    async def put(self, key: bytes, value: bytes) -> None:
        await self._producer.send_and_wait(self.table.changelog_topic_name, value, key, 0)

    async def take_over(self) -> bool:
        thread = SimpleNamespace(_create_client_consumer=self._new_consumer)
        app = SimpleNamespace(
            consumer=SimpleNamespace(_thread=thread, transport=None),
            consumer_generation_id=GENERATION,
            deliveries=Deliveries(lambda error: None),
            producer=self._producer,
        )
        self._producer._producer = self._producer
        return await take_over(app, self.table, [0], lambda: NOW_MS)

    def _new_consumer(self, transport: object) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(bootstrap_servers=self._bootstrap)


@pytest.fixture
async def partition(broker: LiveBroker, tmp_path: Path) -> AsyncIterator[Partition]:
    made = Partition(broker.bootstrap, tmp_path)
    await made.open()
    yield made
    await made.close()


async def test_an_epoch_begins_with_a_record_in_the_changelog(partition: Partition) -> None:
    assert await partition.take_over()
    assert partition.table.epoch(0) == EPOCH
    assert partition.table.read(0, KEY) == under(None, EPOCH)
    assert partition.table.changelogs[0].known == 1


async def test_what_a_process_that_was_cut_off_puts_in_front_of_it_is_restored(partition: Partition) -> None:
    await partition.put(b"a", row(1))
    await partition.put(b"b", row(1))
    await partition.put(b"a", row(2))
    assert await partition.take_over()
    assert (partition.table.read(0, b"a"), partition.table.read(0, b"b")) == (row(2), row(1))
    assert partition.table.changelogs[0].known == 4


async def test_what_it_puts_behind_counts_for_nobody(partition: Partition) -> None:
    assert await partition.take_over()
    partition.table.restore(0, [LogRecord("changelog", 0, 1, 0, b"a", row(9), ())])
    assert partition.table.read(0, b"a") is None
    assert partition.table.changelogs[0].overtaken == (b"a",)


async def test_an_epoch_that_another_process_has_begun_in_front_of_it_is_not_taken(partition: Partition) -> None:
    await partition.put(KEY, under(None, EPOCH))
    assert await partition.take_over()
    assert partition.table.epoch(0) == EPOCH + 1


async def test_a_partition_that_is_taken_away_meanwhile_is_not_held(partition: Partition) -> None:
    takeover = asyncio.create_task(partition.take_over())
    while not partition.table.changelogs:
        await asyncio.sleep(0)
    partition.table.release()
    assert not await takeover
    assert partition.table.changelogs == {}
