"""Everything on one machine: the broker, the topics, and a supervised process for each role."""

import asyncio
import os
import signal
from collections.abc import Callable, Sequence

from service.clock import Clock
from service.dev.kafka import broker as brokers
from service.dev.kafka import embedded
from service.dev.single_instance import single_instance
from service.dev.supervisor import Child, Supervisor
from service.kafka.topics import ensure_topics
from service.roles import ROLES
from service.settings import Settings, child_environment
from topics.errors import SluiceError

BROKER_CHECK_SECONDS = 1.0

Tell = Callable[[str], None]


class Dev:
    """The processes of one installation. `start`, then `run` until `stop`; the broker is kept alive like the rest."""

    def __init__(self, settings: Settings, clock: Clock, tell: Tell, others: Sequence[Child] = ()) -> None:
        self._settings = settings
        self._clock = clock
        self._tell = tell
        parent = str(os.getpid())
        children = [Child(role, (role, "--parent", parent)) for role in ROLES]
        logs = settings.home.absolute() / "logs"
        self.supervisor = Supervisor([*others, *children], child_environment(settings), logs, clock)

    async def start(self) -> None:
        """The broker answers and the topics are there."""
        if not self._settings.kafka_bootstrap:
            await embedded.up(self._settings, self._tell, self._clock)
        created = await ensure_topics(self._settings, self._clock)
        if created:
            self._tell(f"created {len(created)} topics")

    async def run(self) -> None:
        """Until `stop`; leaves the embedded broker stopped, too."""
        keeping = None if self._settings.kafka_bootstrap else asyncio.create_task(self._keep_broker())
        try:
            await self.supervisor.run()
        finally:
            if keeping is not None:
                keeping.cancel()
                await asyncio.gather(keeping, return_exceptions=True)
                await embedded.down(self._settings, self._tell, self._clock)

    def stop(self) -> None:
        self.supervisor.stop()

    async def _keep_broker(self) -> None:
        while True:
            await asyncio.sleep(BROKER_CHECK_SECONDS)
            if brokers.find(embedded.broker_home(self._settings)) is None:
                self._tell("the broker has ended and starts again")
                try:
                    await embedded.up(self._settings, self._tell, self._clock)
                except SluiceError as error:
                    self._tell(f"it did not: {error}")


async def run_dev(settings: Settings, clock: Clock, tell: Tell) -> None:
    """`sluice dev`: until SIGINT or SIGTERM."""
    async with single_instance(settings.home, "dev", clock):
        dev = Dev(settings, clock, tell)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, dev.stop)
        await dev.start()
        logs = settings.home / "logs"
        tell(f"worker, fetcher and projector run; rows go to {shown_sink(settings)}; logs are in {logs}")
        tell("Ctrl-C stops all")
        await dev.run()


def shown_sink(settings: Settings) -> str:
    """The sink's address without its password."""
    scheme, separator, rest = settings.sink.partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"
