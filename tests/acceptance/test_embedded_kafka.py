"""The embedded broker as it is: started, found, killed, brought back. What was acknowledged is there afterwards."""

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from typer.testing import CliRunner, Result

from agents.kinds import SHIPPED
from service.cli import kafka as cli
from service.clock import SystemClock
from service.dev.kafka import broker as brokers
from service.dev.kafka import embedded
from service.kafka.client import client_arguments
from service.kafka.topics import ensure_topics
from service.settings import Settings, child_environment, read_settings
from tests.support.kafka import LiveBroker, free_port
from topics.errors import Rejected

pytestmark = pytest.mark.kafka
PARTITION = TopicPartition("start-sync", 0)

Run = Callable[..., Result]


async def write(settings: Settings, value: bytes) -> None:
    """Returns when the broker has acknowledged the record."""
    async with AIOKafkaProducer(**client_arguments(settings), acks="all") as producer:
        await producer.send_and_wait(PARTITION.topic, value, partition=PARTITION.partition)


async def read(settings: Settings) -> list[bytes]:
    """All that is on PARTITION."""
    async with AIOKafkaConsumer(**client_arguments(settings), auto_offset_reset="earliest") as consumer:
        consumer.assign([PARTITION])
        end = (await consumer.end_offsets([PARTITION]))[PARTITION]
        return [(await consumer.getone()).value for _ in range(end)]


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Settings]:
    """An installation with a broker of its own, ended afterwards."""
    settings = Settings(home=tmp_path / "home", cache=read_settings().cache, kafka_port=free_port())
    yield settings
    asyncio.run(embedded.down(settings, print, SystemClock()))


@pytest.fixture
def run(own: Settings) -> Run:
    """`sluice kafka …` in that installation."""
    return lambda *arguments: CliRunner().invoke(cli.app, arguments, env=child_environment(own), catch_exceptions=False)


async def test_an_acknowledged_record_survives_kill_9_of_the_broker(
    broker: LiveBroker, kafka_settings: Settings
) -> None:
    await broker.wipe()
    await ensure_topics(kafka_settings, SystemClock(), SHIPPED.catalog)
    await write(kafka_settings, b"before")
    await broker.kill()
    await broker.restart()
    await write(kafka_settings, b"after")
    assert await read(kafka_settings) == [b"before", b"after"]


async def test_a_wiped_broker_has_no_topics(broker: LiveBroker, kafka_settings: Settings) -> None:
    await ensure_topics(kafka_settings, SystemClock(), SHIPPED.catalog)
    await broker.wipe()
    assert (await embedded.status(kafka_settings)).topics == 0


def test_up_may_be_run_twice_and_down_keeps_the_data(run: Run, own: Settings) -> None:
    first = run("up")
    assert "formatting the broker's data directory" in first.stdout
    assert f"Kafka runs on 127.0.0.1:{own.kafka_port}" in first.stdout
    assert "Kafka already runs on" in run("up").stdout
    asyncio.run(ensure_topics(own, SystemClock(), SHIPPED.catalog))
    asyncio.run(write(own, b"kept"))
    assert "its data stay" in run("down").stdout
    assert run("status").exit_code == 1
    again = run("up")
    assert "formatting" not in again.stdout
    assert asyncio.run(read(own)) == [b"kept"]


def test_status_is_one_document_for_programs(run: Run, own: Settings, broker: LiveBroker) -> None:
    ours = own.model_copy(update={"kafka_bootstrap": broker.bootstrap})
    shown = CliRunner().invoke(cli.app, ["status", "--json"], env=child_environment(ours))
    assert shown.exit_code == 0
    found = json.loads(shown.stdout)
    assert found.pop("topics") in (0, len(SHIPPED.catalog.topics))
    assert found == {"is_embedded": False, "bootstrap": broker.bootstrap, "pid": None, "problem": None}
    mine = run("status", "--json")
    assert mine.exit_code == 1
    assert "no Kafka broker accepted a connection" in json.loads(mine.stdout)["problem"]


async def test_two_that_start_it_at_once_get_the_same_broker(own: Settings) -> None:
    clock = SystemClock()
    one, other = await asyncio.gather(embedded.up(own, print, clock), embedded.up(own, print, clock))
    assert one == other


async def test_a_killed_broker_is_not_found_and_starts_again_on_another_port(own: Settings) -> None:
    clock = SystemClock()
    killed = await embedded.up(own, print, clock)
    await brokers.kill(killed, clock)
    assert brokers.find(killed.home) is None
    moved = own.model_copy(update={"kafka_port": free_port()})
    back = await embedded.up(moved, print, clock)
    assert back.pid != killed.pid
    assert back.port == moved.kafka_port


async def test_a_running_broker_does_not_follow_a_changed_port(own: Settings) -> None:
    await embedded.up(own, print, SystemClock())
    moved = own.model_copy(update={"kafka_port": free_port()})
    with pytest.raises(Rejected, match=f"or set SLUICE_KAFKA_PORT={own.kafka_port}"):
        await embedded.up(moved, print, SystemClock())
