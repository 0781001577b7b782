"""The fetcher's loop: commands are read, take turns and run; results are published, offsets committed."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import partial

from aiokafka import TopicPartition

from agents import concurrency
from agents.core.processor import read_command
from agents.core.registry import Registry
from agents.watchdog import PROGRESS_SECONDS_MAX, Probe, run_beside, watch_progress
from service.fetcher.consumer import CommandConsumer, Fetched
from service.fetcher.liveness import IN_FLIGHT_SECONDS_MAX, STEP_SECONDS_MAX, Liveness
from service.fetcher.publisher import ResultPublisher
from service.fetcher.scheduler import FairQueue
from service.kafka.client import ClientArguments
from topics.command import Command
from topics.errors import Broken, Rejected
from topics.partitions import PartitionOf

log = logging.getLogger("sluice.fetcher")

COMMIT_SECONDS = 0.5
PAUSE_SECONDS = 0.003  # after reading, so that one read returns several commands

Run = Callable[[Command, bool], Awaitable[Command]]


@dataclass(frozen=True, slots=True)
class InFlight:
    """A command and its record."""

    fetched: Fetched
    command: Command
    id: str

    @property
    def position(self) -> str:
        tp = self.fetched.tp
        return f"{tp.topic}/{tp.partition}/{self.fetched.record.offset}"


class Fetcher:
    """One process of the data plane. `name` is its static membership: unique, and the same after a restart.

    `run` runs one command's activity and returns its result; it is given whether the command may have been under way in
    another process. Rejected makes the command a dead letter.
    """

    def __init__(
        self,
        client: ClientArguments,
        name: str,
        registry: Registry,
        run: Run,
        partition_of: PartitionOf,
        liveness: Liveness | None = None,
        stops_at_loss: bool = False,
    ) -> None:
        self._name = name
        self._registry = registry
        self._run = run
        self._liveness = liveness or Liveness()
        self._queue: FairQueue[InFlight] = FairQueue(concurrency.COMMANDS, concurrency.COMMANDS_PER_CONNECTION)
        self._tasks: dict[asyncio.Task[None], InFlight] = {}
        self._cancelled: set[asyncio.Task[None]] = set()
        self._ids: set[str] = set()
        self._failure: BaseException | None = None
        self._consumer = CommandConsumer(client, name, registry.catalog.data, self._revoked, stops_at_loss)
        self._publisher = ResultPublisher(client, name, partition_of)

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop` is set, then cancel what is unfinished and commit. An exception must end the process."""
        await self._publisher.start()
        await self._consumer.start()
        log.info("fetcher ready", extra={"sluice.name": self._name})
        try:
            await run_beside(
                self._loop(stop), self._commit_regularly(), watch_progress(self.probes), self._liveness.watch()
            )
        finally:
            self._queue.drop(self._forget)
            await self._cancel(self._tasks)
            await self._consumer.stop()
            await self._publisher.stop()

    async def _loop(self, stop: asyncio.Event) -> None:
        while not stop.is_set() and self._failure is None:
            for fetched in await self._consumer.poll():
                if self._consumer.holds(fetched):  # not revoked while an earlier record was rejected
                    await self._accept(fetched)
            self._dispatch()
            await asyncio.sleep(PAUSE_SECONDS)
        if self._failure is not None:
            raise self._failure

    async def _accept(self, fetched: Fetched) -> None:
        try:
            command = read_command(fetched.record, self._registry)
        except Rejected as error:
            await self._publisher.reject(fetched.record, str(error))
            fetched.done()
            return
        item = InFlight(fetched, command, command.id)
        if item.id in self._ids:  # sent again while the first one is unfinished
            fetched.done()
            return
        self._ids.add(item.id)
        self._queue.add(command.key, item)

    def _dispatch(self) -> None:
        while (turn := self._queue.take()) is not None:
            connection, item = turn
            task = asyncio.create_task(self._work(item))
            self._tasks[task] = item
            task.add_done_callback(partial(self._on_finished, connection))

    async def _work(self, item: InFlight) -> None:
        try:
            result = await self._run(item.command, item.fetched.is_redelivered)
        except Rejected as error:
            await self._publisher.reject(item.fetched.record, str(error))
        else:
            await self._publisher.report(result, item.fetched.record, item.command)
        item.fetched.done()

    def _on_finished(self, connection: str, task: "asyncio.Task[None]") -> None:
        item = self._tasks.pop(task)
        self._ids.discard(item.id)
        self._queue.done(connection)
        self._liveness.steps += 1
        if not task.cancelled():
            self._failure = self._failure or task.exception()
        elif task not in self._cancelled:
            self._failure = self._failure or Broken(f"the command at {item.position} was cancelled from within")
        self._cancelled.discard(task)
        self._dispatch()

    async def _revoked(self, lost: set[TopicPartition]) -> None:
        self._queue.drop(lambda item: item.fetched.tp in lost and self._forget(item))
        await self._cancel([task for task, item in self._tasks.items() if item.fetched.tp in lost])

    def _forget(self, item: InFlight) -> bool:
        self._ids.discard(item.id)
        return True

    async def _cancel(self, tasks: Iterable["asyncio.Task[None]"]) -> None:
        cancelled = list(tasks)
        self._cancelled.update(cancelled)
        for task in cancelled:
            task.cancel()
        await asyncio.gather(*cancelled, return_exceptions=True)

    async def _commit_regularly(self) -> None:
        while True:
            await asyncio.sleep(COMMIT_SECONDS)
            await self._consumer.commit()

    async def probes(self) -> list[Probe]:
        """Records must be read, commands must make steps, each command must end, done ones must be committed.

        Reading is no step: a command that hangs is sent again by its workflow, and read again.
        """
        unread = await self._consumer.unread()
        unfinished = len(self._tasks) + self._queue.waiting
        return [
            Probe("records to read", unread, self._consumer.reads, PROGRESS_SECONDS_MAX),
            Probe("unfinished commands", unfinished, self._liveness.steps, STEP_SECONDS_MAX),
            Probe("commits of offsets", self._consumer.uncommitted, self._consumer.commits, PROGRESS_SECONDS_MAX),
            *(Probe(f"the command at {one.position}", 1, "", IN_FLIGHT_SECONDS_MAX) for one in self._tasks.values()),
        ]
