"""The fetcher's process: consume, take turns, work, tell, commit."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from aiokafka import AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError

from agents.activities.batcher import Batcher
from agents.core.intake import dead_letter, read_command
from agents.failpoints import failpoints
from agents.faust.watchdog import PROGRESS_SECONDS_MAX, Probe, watch_progress
from service.fetcher.fair_queue import FairQueue
from service.fetcher.liveness import IN_FLIGHT_SECONDS_MAX, SILENCE_SECONDS_MAX, Liveness
from service.fetcher.offsets import Offsets
from service.kafka.client import ClientArguments
from service.kafka.consumer import group_member
from service.kafka.unread import unread
from topics.catalog import DATA_TOPICS, DEAD_LETTERS
from topics.codec import Headers, encode, headers, trace_in, trace_of
from topics.commands import AnyCommand, Command
from topics.dead_letters import to_record
from topics.errors import Broken, Rejected

log = logging.getLogger("sluice.fetcher")

GROUP = "sluice-fetchers"
IN_FLIGHT_PER_CONNECTION_MAX = 8
IN_FLIGHT_MAX = 512
WAITING_MAX = 2_000  # commands read ahead; at the maximum no more are read until some are done
POLL_RECORDS_MAX = 500
POLL_MS = 200
COMMIT_SECONDS = 0.5
PUBLISH_TIMEOUT_MS = 60_000
RESULTS_PER_BATCH_MAX = 500  # results in one request
RESULT_BATCHES_MAX = 4
PAUSE_SECONDS = 0.003  # after reading, so that commands come several at a time

Do = Callable[[AnyCommand], Awaitable[Command | None]]
PartitionOf = Callable[[str], int]


@dataclass(frozen=True, slots=True)
class InFlight:
    """A command and the record that brought it."""

    tp: TopicPartition
    record: Any
    command: AnyCommand
    id: str

    @property
    def place(self) -> str:
        return f"{self.tp.topic}/{self.tp.partition}/{self.record.offset}"


@dataclass(frozen=True, slots=True)
class Result:
    """What a command led to, on its way to its workflow."""

    result: Command
    headers: Headers


class Fetcher(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """One process of the data plane. `name` is its static membership: unique, and the same after a restart."""

    def __init__(
        self, client: ClientArguments, name: str, do: Do, partition_of: PartitionOf, signs: Liveness | None = None
    ) -> None:
        self._name = name
        self._do = do
        self._partition_of = partition_of
        self._signs = signs or Liveness()
        self._turns: FairQueue[InFlight] = FairQueue(IN_FLIGHT_PER_CONNECTION_MAX)
        self._offsets: dict[TopicPartition, Offsets] = {}
        self._tasks: dict[asyncio.Task[None], InFlight] = {}
        self._ids: set[str] = set()
        self._reads = self._commits = 0
        self._space = asyncio.Event()
        self._failure: BaseException | None = None
        self._consumer = group_member(client, GROUP, name)
        self._producer = AIOKafkaProducer(**client, acks="all", request_timeout_ms=PUBLISH_TIMEOUT_MS)
        self._results: Batcher[Result, None] = Batcher(
            self._publish_batch,
            batch_size_max=RESULTS_PER_BATCH_MAX,
            concurrency_max=RESULT_BATCHES_MAX,
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set: finish nothing new, commit what is done, leave. Raises what must end the process."""
        await self._producer.start()
        await self._consumer.start()
        self._consumer.subscribe(list(DATA_TOPICS), listener=self)
        log.info("fetcher ready", extra={"sluice.name": self._name})
        aside = (self._commit_for_ever(), watch_progress(self._probes), self._signs.watch_for_freezing())
        side = [asyncio.create_task(one) for one in aside]
        try:
            while not stop.is_set() and self._failure is None:
                await self._poll()
                await asyncio.sleep(PAUSE_SECONDS)
                if any(task.done() for task in side):
                    raise Broken("a task that commits offsets, or watches the process, has ended")
            if self._failure is not None:
                raise self._failure
        finally:
            for task in side:
                task.cancel()
            self._turns.drop(self._forget)  # nothing new begins while the rest is let go
            await self._cancel(self._tasks)
            await self._commit()
            await self._consumer.stop()
            await self._producer.stop()

    async def _poll(self) -> None:
        if self._turns.waiting >= WAITING_MAX:
            self._space.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._space.wait(), POLL_MS / 1000)
            return
        fetched = await self._consumer.getmany(timeout_ms=POLL_MS, max_records=POLL_RECORDS_MAX)
        held = {tp: self._offsets.setdefault(tp, Offsets()) for tp in fetched}
        for tp, records in fetched.items():
            for record in records:
                if self._offsets.get(tp) is held[tp]:  # not revoked while a record before was being buried
                    await self._accept(tp, record)
        self._dispatch()

    async def _accept(self, tp: TopicPartition, record: Any) -> None:
        offsets = self._offsets[tp]
        offsets.begin(record.offset)
        self._reads += 1
        try:
            command = read_command(record)
        except Rejected as error:
            await self._dead_letter(record, str(error))
            offsets.end(record.offset)
            return
        item = InFlight(tp, record, command, command.id)
        if item.id in self._ids:  # asked again while it is being worked on
            offsets.end(record.offset)
            return
        self._ids.add(item.id)
        self._turns.add(command.key, item)

    def _dispatch(self) -> None:
        while len(self._tasks) < IN_FLIGHT_MAX and (turn := self._turns.take()) is not None:
            connection, item = turn
            task = asyncio.create_task(self._work(item))
            self._tasks[task] = item
            task.add_done_callback(partial(self._worked, connection))
        self._space.set()

    async def _work(self, item: InFlight) -> None:
        try:
            result = await self._do(item.command)
        except Rejected as error:
            await self._dead_letter(item.record, str(error))
        else:
            if result is not None:
                await self._tell(item, result)
        self._offsets[item.tp].end(item.record.offset)

    async def _tell(self, item: InFlight, result: Command) -> None:
        if failpoints.armed and await failpoints.reach("tell"):
            return
        trace = trace_in(item.record.headers) or trace_of(item.command.key)
        await self._results(Result(result, headers(result, trace, self._name)))
        if failpoints.armed:
            await failpoints.reach("after_tell")

    async def _publish_batch(self, tellings: Sequence[Result]) -> list[None]:
        sent = [
            await self._producer.send(
                one.result.topic,
                encode(one.result),
                one.result.key.encode(),
                self._partition_of(one.result.key),
                headers=list(one.headers),
            )
            for one in tellings
        ]
        await asyncio.gather(*sent)
        return [None] * len(tellings)

    async def _dead_letter(self, record: Any, reason: str) -> None:
        key, value, kept = to_record(dead_letter(record, reason))
        await self._producer.send_and_wait(DEAD_LETTERS, value, key, record.partition, headers=list(kept))

    def _worked(self, connection: str, task: "asyncio.Task[None]") -> None:
        item = self._tasks.pop(task)
        self._ids.discard(item.id)
        self._turns.done(connection)
        self._signs.count += 1
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failure = self._failure or error
        self._dispatch()

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Somebody else goes on from the last commit: stop at once, or pages would be asked for twice."""
        lost = set(revoked)
        self._turns.drop(lambda item: item.tp in lost and self._forget(item))
        await self._cancel([task for task, item in self._tasks.items() if item.tp in lost])
        await self._commit()
        for tp in lost:
            self._offsets.pop(tp, None)

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        for tp in assigned:
            self._offsets.setdefault(tp, Offsets())  # its first records may be in hand before this is told

    def _forget(self, item: InFlight) -> bool:
        self._ids.discard(item.id)
        return True

    async def _cancel(self, tasks: Iterable["asyncio.Task[None]"]) -> None:
        going = list(tasks)
        for task in going:
            task.cancel()
        await asyncio.gather(*going, return_exceptions=True)

    async def _commit_for_ever(self) -> None:
        while True:
            await asyncio.sleep(COMMIT_SECONDS)
            await self._commit()

    async def _commit(self) -> None:
        done = {tp: offsets.next_offset for tp, offsets in self._offsets.items() if offsets.next_offset is not None}
        if not done:
            return
        try:
            await self._consumer.commit(done)
        except KafkaError as error:  # tried again in a moment; a redelivered command is told from the ledger
            log.warning("offsets not committed yet: %s", error)
            return
        self._commits += 1
        for tp, offset in done.items():
            if tp in self._offsets and self._offsets[tp].next_offset == offset:
                self._offsets[tp].next_offset = None

    async def _probes(self) -> list[Probe]:
        """Records must be read, work must show signs of life, each command must end, what is done must be committed.

        Reading is no sign of life: what hangs is asked for again by its workflow, and read again.
        """
        is_full = self._turns.waiting >= WAITING_MAX
        left = 0 if is_full else await unread(self._consumer)
        in_hand = len(self._tasks) + self._turns.waiting
        done = sum(offsets.next_offset is not None for offsets in self._offsets.values())
        return [
            Probe("records to read", left, self._reads, PROGRESS_SECONDS_MAX),
            Probe("commands in hand", in_hand, self._signs.count, SILENCE_SECONDS_MAX),
            Probe("commits of offsets", done, self._commits, PROGRESS_SECONDS_MAX),
            *(Probe(f"the command at {one.place}", 1, "", IN_FLIGHT_SECONDS_MAX) for one in self._tasks.values()),
        ]
