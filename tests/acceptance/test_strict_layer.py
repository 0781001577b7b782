"""The strict layer on real Kafka: a handler that counts is killed, frozen and robbed of its files, and counts right.

Run as a program, this module is the worker: a table of sums by key, fed by two topics, each command answered by its
own name (topic/partition/offset) in a third.
"""

import asyncio
import json
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.structs import TopicPartition

from agents.core.batch import Batch, Out
from agents.faust.app import StrictApp, run_app
from agents.faust.watchdog import EXIT_WAS_FROZEN
from tests.support.installation import ROOT
from tests.support.kafka import LiveBroker

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(150)]

APP = "counting"
SOURCES = ("in-a", "in-b")
ANSWERS = "out"
CHANGELOG = f"{APP}-sums-changelog"
PARTITIONS = 4
KEYS = 200
SESSION_SECONDS = 3
WAIT_SECONDS_MAX = 60
HEAD = struct.Struct(">QQQ")

Name = tuple[str, int, int]  # topic, partition, offset


def count(batch: Batch) -> None:
    topic = batch.tp.topic
    for record in batch.records:
        assert record.key is not None
        raw = batch.get(record.key)
        seen: Any = json.loads(raw[HEAD.size :]) if raw else {"seq": 0, "sum": 0, "last": {}}
        name = f"{topic}/{record.partition}/{record.offset}".encode()
        batch.emit(ANSWERS, record.partition, Out(name, b"done"))
        if raw and record.offset <= seen["last"].get(topic, -1):
            batch.put(record.key, raw)  # a replay: the journal may lack it
            continue
        seen["seq"] += 1
        seen["sum"] += int(record.value or b"0")
        seen["last"][topic] = record.offset
        generation = max(batch.generation, HEAD.unpack_from(raw)[0] if raw else 0)
        batch.put(record.key, HEAD.pack(generation, seen["seq"], 0) + json.dumps(seen).encode())


def run_counting(bootstrap: str, name: str, directory: str) -> None:
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    app = StrictApp(
        APP,
        broker=f"kafka://{bootstrap}",
        processing_guarantee="at_least_once",
        stream_wait_empty=True,
        store="rocksdb://",
        datadir=directory,
        table_standby_replicas=0,
        topic_allow_declare=False,
        topic_disable_leader=True,
        topic_partitions=PARTITIONS,
        topic_replication_factor=1,
        consumer_auto_offset_reset="earliest",
        consumer_group_instance_id=name,
        broker_session_timeout=SESSION_SECONDS,
        broker_heartbeat_interval=1,
        broker_commit_interval=0.3,
        broker_max_poll_records=4000,
        producer_acks=-1,
        producer_linger=0.0,
        producer_max_batch_size=800_000,
        value_serializer="raw",
        key_serializer="raw",
        web_enabled=False,
    )
    table = app.Table("sums", key_type=bytes, value_type=bytes, partitions=PARTITIONS)
    channel = app.topic(*SOURCES, key_type=bytes, value_type=bytes)
    app.handle_batches(channel, table, count, lambda: time.time_ns() // 10**6, lambda held: None)
    run_app(app, loop)


@dataclass
class Site:
    """Workers on a broker, and what was told to them."""

    bootstrap: str
    home: Path
    workers: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    told: dict[Name, tuple[bytes, int]] = field(default_factory=dict)

    def start(self, name: str) -> None:
        self.directory(name).mkdir(exist_ok=True)
        arguments = ["-m", "tests.acceptance.test_strict_layer", self.bootstrap, name, str(self.directory(name))]
        with (self.home / f"{name}.log").open("ab") as log:
            self.workers[name] = subprocess.Popen([sys.executable, *arguments], cwd=ROOT, stdout=log, stderr=log)

    def directory(self, name: str) -> Path:
        return self.home / name

    def kill(self, name: str) -> None:
        worker = self.workers.pop(name)
        worker.kill()
        worker.wait(10)

    async def tell_on(self, stop: asyncio.Event) -> None:
        """Commands at about two thousand a second."""
        producer = AIOKafkaProducer(bootstrap_servers=self.bootstrap, linger_ms=5)
        await producer.start()
        number = 0
        while not stop.is_set():
            sent = []
            for _ in range(100):
                number += 1
                key = b"key-%d" % (number * 7919 % KEYS)
                sent.append((key, number, await producer.send(SOURCES[number % 2], b"%d" % number, key)))
            for key, value, confirmed in sent:
                told = await confirmed
                self.told[told.topic, told.partition, told.offset] = (key, value)
            await asyncio.sleep(0.05)
        await producer.stop()

    async def records(self, topic: str) -> list[Any]:
        """Everything in a topic, in the order of each partition."""
        tps = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]
        consumer = AIOKafkaConsumer(bootstrap_servers=self.bootstrap, auto_offset_reset="earliest")
        await consumer.start()
        try:
            consumer.assign(tps)
            ends = await consumer.end_offsets(tps)
            found: list[Any] = []
            for tp in tps:
                while await consumer.position(tp) < ends[tp]:
                    fetched = await consumer.getmany(tp, timeout_ms=500)
                    found += fetched.get(tp, [])
        finally:
            await consumer.stop()
        return found

    async def answered(self) -> set[Name]:
        names = [record.key.decode().split("/") for record in await self.records(ANSWERS)]
        return {(topic, int(partition), int(offset)) for topic, partition, offset in names}

    async def until_answered(self, is_enough: Callable[[set[Name]], bool]) -> None:
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            while not is_enough(await self.answered()):
                await asyncio.sleep(0.2)

    async def until_it_moves(self, partitions: int = PARTITIONS) -> None:
        """Something that was told from now on is answered, in so many partitions."""
        before = set(self.told)
        await self.until_answered(
            lambda answered: len({partition for _, partition, _ in answered - before}) >= partitions
        )

    async def committed(self) -> dict[TopicPartition, int]:
        consumer = AIOKafkaConsumer(bootstrap_servers=self.bootstrap, group_id=APP, enable_auto_commit=False)
        await consumer.start()
        try:
            tps = [TopicPartition(topic, partition) for topic in SOURCES for partition in range(PARTITIONS)]
            return {tp: await consumer.committed(tp) or 0 for tp in tps}
        finally:
            await consumer.stop()

    async def check_nothing_is_committed_ahead(self) -> None:
        """With no worker running: all below a committed offset is answered, and in the journal."""
        committed = await self.committed()
        answered, journal = await self.answered(), await self.journal()
        for (topic, partition, offset), (key, _) in list(self.told.items()):
            if offset < committed[TopicPartition(topic, partition)]:
                assert (topic, partition, offset) in answered
                assert journal[key]["last"][topic] >= offset

    async def journal(self) -> dict[bytes, Any]:
        """The table as a recovery would find it: of each key the record with the highest (generation, seq)."""
        newest: dict[bytes, bytes] = {}
        for record in await self.records(CHANGELOG):
            if record.value[:16] >= newest.get(record.key, b"")[:16]:
                newest[record.key] = record.value
        return {key: json.loads(value[HEAD.size :]) for key, value in newest.items()}

    async def check_sums(self) -> None:
        """Each command counted once, each answered."""
        await self.until_answered(lambda answered: answered >= set(self.told))
        sums: Counter[bytes] = Counter()
        counts: Counter[bytes] = Counter()
        for key, value in self.told.values():
            sums[key] += value
            counts[key] += 1
        journal = await self.journal()
        assert {key: (seen["sum"], seen["seq"]) for key, seen in journal.items()} == {
            key: (sums[key], counts[key]) for key in sums
        }


@asynccontextmanager
async def counting(broker: LiveBroker, home: Path) -> AsyncIterator[Site]:
    await broker.wipe()
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    configs: dict[str, dict[str, str]] = defaultdict(dict, {CHANGELOG: {"cleanup.policy": "compact"}})
    topics = [NewTopic(name, PARTITIONS, 1, topic_configs=configs[name]) for name in (*SOURCES, ANSWERS, CHANGELOG)]
    await admin.create_topics(topics)
    await admin.close()
    site = Site(broker.bootstrap, home)
    try:
        yield site
    finally:
        for name in list(site.workers):
            site.kill(name)


@asynccontextmanager
async def commands(site: Site) -> AsyncIterator[None]:
    """Commands come in as long as this lasts."""
    stop = asyncio.Event()
    telling = asyncio.create_task(site.tell_on(stop))
    try:
        yield
    finally:
        stop.set()
        await telling


async def until_recovering(site: Site, name: str) -> None:
    """Its store is being opened and written."""
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        while not list(site.directory(name).rglob("*.log")):
            await asyncio.sleep(0.02)


async def test_a_worker_that_is_killed_and_robbed_of_its_files_counts_each_command_once(
    broker: LiveBroker, tmp_path: Path
) -> None:
    async with counting(broker, tmp_path) as site:
        directory, copy = site.directory("one"), tmp_path / "copy"
        async with commands(site):
            site.start("one")
            await site.until_it_moves()
            site.kill("one")  # in the middle of its work, its files kept
            await site.check_nothing_is_committed_ahead()
            shutil.copytree(directory, copy)
            site.start("one")
            await site.until_it_moves()
            site.kill("one")
            shutil.rmtree(directory)  # its files lost
            await site.check_nothing_is_committed_ahead()
            site.start("one")
            await until_recovering(site, "one")
            site.kill("one")  # in the middle of its recovery
            site.start("one")
            await site.until_it_moves()
            site.kill("one")
            shutil.rmtree(directory)
            shutil.copytree(copy, directory)  # its files as they once were
            site.start("one")
            await site.until_it_moves()
        await site.check_sums()
        site.kill("one")
        await site.check_nothing_is_committed_ahead()


async def test_two_workers_share_the_partitions_and_take_over_from_each_other(
    broker: LiveBroker, tmp_path: Path
) -> None:
    async with counting(broker, tmp_path) as site:
        async with commands(site):
            site.start("one")
            await site.until_it_moves()
            site.start("two")
            await until_recovering(site, "two")
            await site.until_it_moves()
            frozen = site.workers["one"]
            frozen.send_signal(signal.SIGSTOP)
            await asyncio.sleep(SESSION_SECONDS + 2)
            await site.until_it_moves()  # the other one has all partitions
            frozen.send_signal(signal.SIGCONT)
            assert await asyncio.to_thread(frozen.wait, 20) == EXIT_WAS_FROZEN
            site.start("one")
            await asyncio.sleep(SESSION_SECONDS)
            await site.until_it_moves()
            site.kill("two")
            await site.until_it_moves()
        await site.check_sums()
        site.kill("one")
        await site.check_nothing_is_committed_ahead()


if __name__ == "__main__":
    run_counting(*sys.argv[1:])
