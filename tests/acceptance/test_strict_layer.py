"""The batch layer on real Kafka: a worker that counts is killed, frozen and loses its files, and counts right."""

import asyncio
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from agents.watchdog import EXIT_FROZEN
from tests.acceptance.counting import (
    ANSWERS,
    CHANGELOG,
    PARTITIONS,
    SESSION_SECONDS,
    SOURCES,
    WAIT_SECONDS_MAX,
    Workers,
)
from tests.support.kafka import LiveBroker

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(150)]


@asynccontextmanager
async def counting(broker: LiveBroker, home: Path) -> AsyncIterator[Workers]:
    await broker.wipe()
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    topics = [NewTopic(name, PARTITIONS, 1) for name in (*SOURCES, ANSWERS)]
    changelog = NewTopic(CHANGELOG, PARTITIONS, 1, topic_configs={"cleanup.policy": "compact"})
    await admin.create_topics([*topics, changelog])
    await admin.close()
    workers = Workers(broker.bootstrap, home)
    try:
        yield workers
    finally:
        for name in list(workers.processes):
            workers.kill(name)


@asynccontextmanager
async def commands(workers: Workers) -> AsyncIterator[None]:
    """Commands come in as long as this lasts."""
    stop = asyncio.Event()
    sending = asyncio.create_task(workers.send_until(stop))
    try:
        yield
    finally:
        stop.set()
        await sending


async def until_recovering(workers: Workers, name: str) -> None:
    """Its store is being opened and written."""
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        while not list(workers.directory(name).rglob("*.log")):
            await asyncio.sleep(0.02)


async def test_a_worker_that_is_killed_and_loses_its_files_counts_each_command_once(
    broker: LiveBroker, tmp_path: Path
) -> None:
    async with counting(broker, tmp_path) as workers:
        directory, copy = workers.directory("one"), tmp_path / "copy"
        async with commands(workers):
            workers.start("one")
            await workers.until_it_moves()
            workers.kill("one")  # in the middle of its work, its files kept
            await workers.check_nothing_is_committed_ahead()
            shutil.copytree(directory, copy)
            workers.start("one")
            await workers.until_it_moves()
            workers.kill("one")
            shutil.rmtree(directory)  # its files lost
            await workers.check_nothing_is_committed_ahead()
            workers.start("one")
            await until_recovering(workers, "one")
            workers.kill("one")  # in the middle of its recovery
            workers.start("one")
            await workers.until_it_moves()
            workers.kill("one")
            shutil.rmtree(directory)
            shutil.copytree(copy, directory)  # its files as they once were
            workers.start("one")
            await workers.until_it_moves()
        await workers.check_sums()
        workers.kill("one")
        await workers.check_nothing_is_committed_ahead()


async def test_two_workers_share_the_partitions_and_take_over_from_each_other(
    broker: LiveBroker, tmp_path: Path
) -> None:
    async with counting(broker, tmp_path) as workers:
        async with commands(workers):
            workers.start("one")
            await workers.until_it_moves()
            workers.start("two")
            await until_recovering(workers, "two")
            await workers.until_it_moves()
            frozen = workers.processes["one"]
            frozen.send_signal(signal.SIGSTOP)
            await asyncio.sleep(SESSION_SECONDS + 2)
            await workers.until_it_moves()  # the other one has all partitions
            frozen.send_signal(signal.SIGCONT)
            assert await asyncio.to_thread(frozen.wait, 20) == EXIT_FROZEN
            workers.start("one")
            await asyncio.sleep(SESSION_SECONDS)
            await workers.until_it_moves()
            workers.kill("two")
            await workers.until_it_moves()
        await workers.check_sums()
        workers.kill("one")
        await workers.check_nothing_is_committed_ahead()
