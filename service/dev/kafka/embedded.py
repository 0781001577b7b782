"""Embedded broker of an installation: `sluice kafka up`, `down` and `status`."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from service.clock import Clock
from service.dev import Say
from service.dev.kafka import broker as brokers
from service.dev.kafka.broker import Broker
from service.dev.kafka.jars import fetch_jars
from service.dev.kafka.java import find_java
from service.dev.kafka.storage import MIB, prepare_directory
from service.kafka.client import client_arguments
from service.kafka.cluster import open_cluster
from service.settings import Settings
from topics.errors import Rejected, SluiceError

HOME_FREE_BYTES_MIN = 1024 * MIB  # Kafka ends itself when its disk is full


@dataclass(frozen=True, slots=True)
class KafkaStatus:
    """The cluster that the settings name. `pid` is the embedded broker's; `problem` is None where it answers."""

    is_embedded: bool
    bootstrap: str
    pid: int | None
    topics: int
    problem: str | None


def broker_home(settings: Settings) -> Path:
    """The directory of the embedded broker's data, log and process id."""
    return settings.home.expanduser().absolute() / "kafka"


async def up(settings: Settings, say: Say, clock: Clock) -> Broker:
    """Start the embedded broker, unless it runs, and wait until it answers.

    Rejected and Retryable name the obstacle: an external cluster, Java, the jars, the disk, a port.
    """
    if settings.kafka_bootstrap:
        raise Rejected(
            f"SLUICE_KAFKA_BOOTSTRAP names a cluster that Sluice does not start ({settings.kafka_bootstrap}): "
            "start it yourself, or unset SLUICE_KAFKA_BOOTSTRAP to run the embedded broker"
        )
    home = broker_home(settings)
    running = brokers.find(home)
    if running is None:
        prepare_directory(home, HOME_FREE_BYTES_MIN, "SLUICE_HOME")
    java = await asyncio.to_thread(find_java, settings)
    jars = await fetch_jars(settings.cache, say, clock)
    broker = await brokers.start(home, settings.kafka_port, java, jars, say, clock)
    already = "already " if running is not None and running.pid == broker.pid else ""
    say(f"Kafka {already}runs on {broker.bootstrap} (process {broker.pid}, data in {home})")
    return broker


async def down(settings: Settings, say: Say, clock: Clock) -> bool:
    """Stop the embedded broker of this home; return whether one ran. Its data are kept."""
    broker = brokers.find(broker_home(settings))
    if broker is None:
        say(f"no embedded Kafka runs in {broker_home(settings)}")
        return False
    if await brokers.stop(broker, clock):
        say(f"Kafka stopped (process {broker.pid}); its data stay in {broker.home}")
    else:
        say(f"Kafka was killed after {brokers.STOP_SECONDS_MAX} s (process {broker.pid}); its data stay")
    return True


async def status(settings: Settings) -> KafkaStatus:
    """List the topics of the settings' cluster, embedded or not. Rejected if the settings are wrong."""
    is_embedded = not settings.kafka_bootstrap
    broker = brokers.find(broker_home(settings)) if is_embedded else None
    arguments = client_arguments(settings)
    topics, problem = 0, None
    try:
        async with open_cluster(arguments) as cluster:
            topics = len(await cluster.topics())
    except SluiceError as error:
        problem = str(error)
    return KafkaStatus(is_embedded, settings.bootstrap, broker.pid if broker else None, topics, problem)
