"""The embedded broker with its topics, and processes of ours on it that may be killed and started again at will."""

import asyncio
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.protocol import ConsumerProtocol

from agents.core.batch import Record
from agents.kinds import SHIPPED
from service.clock import SystemClock
from service.dev.kafka import broker as brokers
from service.dev.kafka import embedded
from service.kafka.client import client_arguments
from service.kafka.topics import ensure_topics
from service.settings import Settings, child_environment
from tables.logs import KEY as LOGS_KEY
from tables.requests import is_request_log
from tests.bench.batches import BATCH_BYTES_MAX, Outs, publish
from tests.support.house import ROOT
from tests.support.kafka import free_port
from topics.catalog import CHANGELOG
from topics.codec import encode
from topics.command import Command
from topics.partitions import partitioner

MANIFESTS = Path(__file__).parent / "manifests"
ADAPTERS = ("bench", "bulk", "limited", "moving")
CONCURRENCY = 32  # requests in flight per connection
STOP_SECONDS_MAX = 40.0
READY_SECONDS_MAX = 120.0
POLL_SECONDS = 0.015
UUID_CHARS = 37  # what the broker appends to a static member's name to make its id: a dash and a UUID


class Cluster:
    """One installation. `roles` are the processes that run from the start, by name."""

    def __init__(self, home: Path, api: str, sink: str, roles: Mapping[str, str]) -> None:
        home.mkdir(parents=True)
        connections = home / "connections.yaml"
        served = f'base_url: "{api}", auth: none, concurrency: {CONCURRENCY}'
        connections.write_text("".join(f'"*/{name}": {{{served}}}\n' for name in ADAPTERS))
        self.settings = Settings(
            home=home, kafka_port=free_port(), sink=sink, connections=connections, manifests=MANIFESTS
        )
        self.partition_of = partitioner(self.settings.partitions)
        self._roles = dict(roles)
        self._clock = SystemClock()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    async def __aenter__(self) -> Self:
        try:
            await self._begin()
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.producer.stop()
        await self._end()

    async def _begin(self) -> None:
        await embedded.up(self.settings, _quietly, self._clock)
        await ensure_topics(self.settings, self._clock, SHIPPED.catalog)
        self.producer = AIOKafkaProducer(
            **client_arguments(self.settings), acks="all", max_batch_size=BATCH_BYTES_MAX * 2
        )
        await self.producer.start()
        for name in self._roles:
            await self.start(name)

    async def _end(self) -> None:
        for name in list(self._processes):
            self.stop(name)
        await embedded.down(self.settings, _quietly, self._clock)

    @property
    def pids(self) -> dict[str, int]:
        """The processes by name, the broker's among them."""
        found = brokers.find(embedded.broker_home(self.settings))
        parts = {"broker": found.pid} if found else {}
        return parts | {name: process.pid for name, process in self._processes.items()}

    async def start(self, name: str, role: str | None = None) -> None:
        """Start the process of this name; returns when it says that it is ready."""
        self.launch(name, role)
        await self.ready(name)

    def launch(self, name: str, role: str | None = None) -> None:
        """Start the process of this name; returns at once. `role` is needed the first time."""
        self._roles[name] = role = role or self._roles[name]
        with self.log_of(name).open("wb") as log:
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-m", "service", role, "--name", name, "--parent", str(os.getpid())],
                cwd=ROOT,
                env=_environment(self.settings),
                stdout=log,
                stderr=log,
            )

    async def ready(self, name: str) -> None:
        """Until the process says so: for a worker, its table is restored."""
        async with asyncio.timeout(READY_SECONDS_MAX):
            while " ready" not in self.log_of(name).read_text():
                code = self._processes[name].poll()
                assert code is None, f"{name} ended with {code}: {self.log_of(name).read_text()[-2000:]}"
                await asyncio.sleep(POLL_SECONDS)

    def kill(self, name: str) -> None:
        """kill -9; returns when it is gone."""
        process = self._processes.pop(name)
        process.kill()
        process.wait(STOP_SECONDS_MAX)

    def stop(self, name: str) -> None:
        """SIGTERM; returns when it is gone."""
        process = self._processes.pop(name)
        process.terminate()
        try:
            process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_SECONDS_MAX)

    def log_of(self, name: str) -> Path:
        return self.settings.home / f"{name}.log"

    async def send(self, commands: Sequence[Command]) -> None:
        """Each to the partition of its key, in batches."""
        outs: Outs = defaultdict(list)
        for one in commands:
            outs[one.topic, self.partition_of(one.key)].append((one.key.encode(), encode(one)))
        await self.send_raw(outs)

    async def send_raw(self, outs: Outs) -> None:
        """Returns when the broker has them all."""
        await asyncio.gather(*await publish(self.producer, outs))

    def consumer(self, reads_from: str = "latest") -> AIOKafkaConsumer:
        """Of no group, not started. `reads_from`: where it begins, earliest or latest."""
        return AIOKafkaConsumer(
            **client_arguments(self.settings), enable_auto_commit=False, auto_offset_reset=reads_from
        )

    def partitions(self, topic: str) -> list[TopicPartition]:
        return [TopicPartition(topic, number) for number in range(self.settings.partitions)]

    async def read_journal(self) -> list[Record]:
        """Every record of a workflow in the journal as it is now, and of nothing else."""
        found: list[Record] = []
        async with self.consumer("earliest") as consumer:
            tps = self.partitions(CHANGELOG)
            consumer.assign(tps)
            ends = await consumer.end_offsets(tps)
            while any([await consumer.position(tp) < end for tp, end in ends.items()]):
                for records in (await consumer.getmany(timeout_ms=1_000)).values():
                    found += [record for record in records if not is_request_log(record.key) and record.key != LOGS_KEY]
        return found

    async def assigned(self, group: str) -> dict[str, set[int]]:
        """The partitions that each member of a group holds now, by the member's name; empty while it rebalances."""
        admin = AIOKafkaAdminClient(**client_arguments(self.settings))
        await admin.start()
        try:
            (answer,) = await admin.describe_consumer_groups([group])
        finally:
            await admin.close()
        (found,) = answer.to_object()["groups"]
        if found["state"] != "Stable":
            return {}
        return {one["member_id"][:-UUID_CHARS]: _partitions(one["member_assignment"]) for one in found["members"]}


def _partitions(assignment: bytes) -> set[int]:
    decoded = ConsumerProtocol.ASSIGNMENT.decode(assignment)
    return {partition for _, partitions in decoded.assignment for partition in partitions}


def _environment(settings: Settings) -> dict[str, str]:
    """Compiled modules are kept, as they are wherever Sluice is installed: compiling them takes longer than a start."""
    environment = child_environment(settings)
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    return environment


def _quietly(line: str) -> None:
    """What the broker prints while it starts is of no interest here."""
