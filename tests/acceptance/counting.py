"""A worker on the batch layer that counts, and an installation of such workers on real Kafka.

The worker keeps a table of sums by key, fed by two topics, and answers each command by its own name
(topic/partition/offset) in a third. Run: python -m tests.acceptance.counting BOOTSTRAP NAME DIRECTORY.
"""

import asyncio
import json
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import TopicPartition

from agents.core.batch import Batch, Out
from agents.faust.app import StrictApp, run_app
from agents.faust.reading import Reading
from tables.logs import KEY as LOGS_KEY
from tests.support.installation import ROOT

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
        epoch = max(batch.epoch, HEAD.unpack_from(raw)[0] if raw else 0)
        batch.put(record.key, HEAD.pack(epoch, seen["seq"], 0) + json.dumps(seen).encode())


async def no_logs(known: object) -> dict[Any, Any]:
    """Nobody knows which logs these are."""
    return {}


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
    reading = Reading(no_logs, lambda batch, workflows: 0)
    app.handle_batches(channel, table, count, lambda: time.time_ns() // 10**6, lambda held: None, reading)
    run_app(app, loop)


@dataclass
class Workers:
    """Workers on a broker, and the commands that were sent to them."""

    bootstrap: str
    home: Path
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    sent: dict[Name, tuple[bytes, int]] = field(default_factory=dict)

    def start(self, name: str) -> None:
        self.directory(name).mkdir(exist_ok=True)
        arguments = ["-m", "tests.acceptance.counting", self.bootstrap, name, str(self.directory(name))]
        with (self.home / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen([sys.executable, *arguments], cwd=ROOT, stdout=log, stderr=log)

    def directory(self, name: str) -> Path:
        return self.home / name

    def kill(self, name: str) -> None:
        worker = self.processes.pop(name)
        worker.kill()
        worker.wait(10)

    async def send_until(self, stop: asyncio.Event) -> None:
        """Commands at about two thousand a second."""
        producer = AIOKafkaProducer(bootstrap_servers=self.bootstrap, linger_ms=5)
        await producer.start()
        number = 0
        while not stop.is_set():
            batch = []
            for _ in range(100):
                number += 1
                key = b"key-%d" % (number * 7919 % KEYS)
                batch.append((key, number, await producer.send(SOURCES[number % 2], b"%d" % number, key)))
            for key, value, confirmed in batch:
                at = await confirmed
                self.sent[at.topic, at.partition, at.offset] = (key, value)
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
        """Something that was sent from now on is answered, in so many partitions."""
        before = set(self.sent)
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
        for (topic, partition, offset), (key, _) in list(self.sent.items()):
            if offset < committed[TopicPartition(topic, partition)]:
                assert (topic, partition, offset) in answered
                assert journal[key]["last"][topic] >= offset

    async def journal(self) -> dict[bytes, Any]:
        """The table as a recovery would find it: of each key the record with the highest (epoch, seq)."""
        newest: dict[bytes, bytes] = {}
        for record in await self.records(CHANGELOG):
            if record.key != LOGS_KEY and record.value[:16] >= newest.get(record.key, b"")[:16]:
                newest[record.key] = record.value
        return {key: json.loads(value[HEAD.size :]) for key, value in newest.items()}

    async def check_sums(self) -> None:
        """Each command counted once, each answered."""
        await self.until_answered(lambda answered: answered >= set(self.sent))
        sums: Counter[bytes] = Counter()
        counts: Counter[bytes] = Counter()
        for key, value in self.sent.values():
            sums[key] += value
            counts[key] += 1
        journal = await self.journal()
        assert {key: (seen["sum"], seen["seq"]) for key, seen in journal.items()} == {
            key: (sums[key], counts[key]) for key in sums
        }


if __name__ == "__main__":
    run_counting(*sys.argv[1:])
