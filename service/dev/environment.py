"""Local environment on one machine: the broker, the topics, and a supervised process for each role."""

import asyncio
import os
import signal
from collections.abc import Sequence

from agents.kinds import SHIPPED
from service.clock import Clock
from service.dev import Say
from service.dev.kafka import broker as brokers
from service.dev.kafka import embedded
from service.dev.kafka.storage import MIB
from service.dev.logs import empty_if_large
from service.dev.supervisor import Child, Supervisor
from service.kafka.topics import ensure_topics
from service.lock import single_instance
from service.roles import ROLES
from service.settings import Settings, child_environment
from topics.errors import SluiceError

BROKER_CHECK_SECONDS = 1.0
LOGS_CHECK_SECONDS = 5.0  # how much a log may grow beyond its maximum is what its process writes in so long


class LocalEnvironment:
    """The processes of one installation: `start`, then `run` until `stop`. The broker is restarted like the others."""

    def __init__(self, settings: Settings, clock: Clock, say: Say, others: Sequence[Child] = ()) -> None:
        self._settings = settings
        self._clock = clock
        self._say = say
        parent = str(os.getpid())
        children = [Child(role, (role, "--parent", parent)) for role in ROLES]
        self._logs = settings.home.absolute() / "logs"
        self.supervisor = Supervisor([*others, *children], child_environment(settings), self._logs, clock)

    async def start(self) -> None:
        """Wait until the broker answers and the topics exist."""
        if not self._settings.kafka_bootstrap:
            await embedded.up(self._settings, self._say, self._clock)
        created = await ensure_topics(self._settings, self._clock, SHIPPED.catalog)
        if created:
            self._say(f"created {len(created)} topics")

    async def run(self) -> None:
        """Run until `stop`, which stops the embedded broker, too."""
        is_embedded = not self._settings.kafka_bootstrap
        beside = [self._keep_logs_small(), *([self._keep_broker()] if is_embedded else [])]
        tasks = [asyncio.create_task(one) for one in beside]
        try:
            await self.supervisor.run()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if is_embedded:
                await embedded.down(self._settings, self._say, self._clock)

    def stop(self) -> None:
        self.supervisor.stop()

    async def _keep_logs_small(self) -> None:
        bytes_max = self._settings.log_mib * MIB
        while True:
            broker = brokers.log_of(embedded.broker_home(self._settings))
            for log in (*self._logs.glob("*.log"), broker):
                try:
                    await asyncio.to_thread(empty_if_large, log, bytes_max)
                except OSError as error:
                    self._say(f"the log {log} cannot be emptied: {error.strerror}")
            await asyncio.sleep(LOGS_CHECK_SECONDS)

    async def _keep_broker(self) -> None:
        while True:
            await asyncio.sleep(BROKER_CHECK_SECONDS)
            if brokers.find(embedded.broker_home(self._settings)) is None:
                self._say("the broker has ended and is restarted")
                try:
                    await embedded.up(self._settings, self._say, self._clock)
                except SluiceError as error:
                    self._say(f"the broker could not be restarted: {error}")


async def run_dev(settings: Settings, clock: Clock, say: Say) -> None:
    """Run `sluice dev` until SIGINT or SIGTERM."""
    async with single_instance(settings.home, "dev", clock):
        environment = LocalEnvironment(settings, clock, say)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, environment.stop)
        await environment.start()
        logs = settings.home / "logs"
        say(f"worker, fetcher and projector run; rows go to {shown_sink(settings)}; logs are in {logs}")
        say("Ctrl-C stops all")
        await environment.run()


def shown_sink(settings: Settings) -> str:
    """The sink's address without its password."""
    scheme, separator, rest = settings.sink.partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"
