"""A real broker for tests: the embedded one, on ports of its own, its data in a temporary directory."""

import asyncio
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from service.clock import SystemClock
from service.dev.kafka import broker as brokers
from service.dev.kafka.broker import Broker
from service.dev.kafka.jars import fetch_jars
from service.dev.kafka.java import find_java
from service.kafka.topics import ensure_topics
from service.settings import Settings, read_settings
from topics.catalog import Catalog

PORTS = range(20_000, 30_000, 2)  # below the ports that systems choose by themselves
PORTS_APART = 1_237
_GUARD = 'while kill -0 "$1" 2>/dev/null; do sleep 1; done; kill -9 $(sed "s/[^0-9]*\\([0-9]*\\).*/\\1/" "$2")'


class LiveBroker:
    """One broker that tests may kill. It comes back on the same port with the same data, unless they are wiped."""

    def __init__(self, home: Path, port: int, java: Path, jars: Path) -> None:
        self.home, self.port, self._java, self._jars = home, port, java, jars
        self._clock = SystemClock()
        self._broker: Broker | None = None

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start it, formatted once and for all."""
        await brokers.format_data(self.home, self.port, self._java, self._jars, print)
        if not self._formatted.exists():
            shutil.copytree(self.home / "data", self._formatted)
        self._broker = await brokers.start(self.home, self.port, self._java, self._jars, print, self._clock)

    async def kill(self) -> None:
        """kill -9; returns when it is gone."""
        if self._broker is not None:
            await brokers.kill(self._broker, self._clock)
            self._broker = None

    async def stop(self) -> None:
        """SIGTERM; returns when it is gone."""
        if self._broker is not None:
            await brokers.stop(self._broker, self._clock)
            self._broker = None

    async def restart(self) -> None:
        """Kill it if it runs, and bring it back with its data; returns when it answers."""
        await self.kill()
        await self.start()

    async def wipe(self) -> None:
        """Kill it, and bring it back with nothing in it: no topics, no groups."""
        await self.kill()
        shutil.rmtree(self.home / "data")
        shutil.copytree(self._formatted, self.home / "data")
        await self.start()

    @property
    def _formatted(self) -> Path:
        return self.home / "formatted"


@contextmanager
def running_broker(home: Path) -> Iterator[LiveBroker]:
    """A broker that ends with the block, or with this process."""
    home.mkdir(parents=True, exist_ok=True)
    settings = read_settings()
    jars = asyncio.run(fetch_jars(settings.cache, print, SystemClock()))
    running = LiveBroker(home, free_port(), find_java(settings), jars)
    with _guarded(home / "broker.json"):
        asyncio.run(running.start())
        try:
            yield running
        finally:
            asyncio.run(running.stop())


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveBroker]:
    """The broker of this pytest process, running."""
    with running_broker(tmp_path_factory.mktemp("kafka")) as running:
        yield running


@pytest.fixture
def kafka_settings(broker: LiveBroker, tmp_path: Path) -> Settings:
    """Settings of an installation of its own on the shared broker."""
    return settings_for(broker, tmp_path / "home")


def settings_for(broker: LiveBroker, home: Path) -> Settings:
    """Everything in `home`, Kafka on `broker`, the settings that need no more at their defaults."""
    home.mkdir(parents=True, exist_ok=True)
    return Settings(
        home=home,
        cache=read_settings().cache,
        kafka_bootstrap=broker.bootstrap,
        sink=f"sqlite:///{home}/sluice.db",
        connections=home / "connections.yaml",
    )


def free_port() -> int:
    """A port that is free, and the next one too. Each process starts to look elsewhere, far from its neighbours."""
    first = os.getpid() * PORTS_APART
    for port in (PORTS[(first + step) % len(PORTS)] for step in range(len(PORTS))):
        if is_free(port) and is_free(port + 1):
            return port
    raise RuntimeError(f"no two free ports in {PORTS}")


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@contextmanager
def _guarded(record: Path) -> Iterator[None]:
    """Should this process be killed, the broker, which would outlive it, is killed a second later."""
    arguments = ["/bin/sh", "-c", _GUARD, "sh", str(os.getpid()), str(record)]
    with subprocess.Popen(arguments, start_new_session=True, stdout=subprocess.DEVNULL) as guard:
        try:
            yield
        finally:
            guard.kill()


async def until_created_again(settings: Settings, catalog: Catalog, topic: str) -> None:
    """A deleted topic is created. The broker may still list it for a moment after it has acknowledged the deletion."""
    async with asyncio.timeout(30):
        while topic not in await ensure_topics(settings, SystemClock(), catalog):
            await asyncio.sleep(0.1)
