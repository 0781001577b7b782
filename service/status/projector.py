"""The projector: publishes the journal as status tables.

Its progress is in the database, in the transaction of what it publishes: so one that lost commits, or was restored, is
published to again from where it stands. The offsets that the group commits to Kafka only say how far the database had
been: where it knows less, rows of runs are missing, too.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from itertools import chain

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError

from agents.core.registry import Registry
from agents.core.retry import PUBLISH_STATUS
from agents.ports import Clock
from agents.watchdog import PROGRESS_SECONDS_MAX, Probe, run_beside, watch_progress
from service.kafka.client import ClientArguments
from service.kafka.consumer import group_member, unread
from service.kafka.journal import Journal
from service.status.cleaner import Cleaner
from service.status.position import Position
from service.status.rows import status_rows
from service.status.store import StatusStore
from tables.changelog import ChangelogRecord
from topics.catalog import CHANGELOG
from topics.errors import Retryable

log = logging.getLogger("sluice.projector")

GROUP = "sluice-projector"
FIRST_PARTITION = TopicPartition(CHANGELOG, 0)
POLL_RECORDS_MAX = 4_000
POLL_MS = 200
# Records are gathered until none arrives for QUIET_SECONDS: of several states of a run only the newest is written.
QUIET_SECONDS = 0.01
GATHER_SECONDS_MAX = 0.25
COMMIT_SECONDS = 1.0
IDLE_SECONDS = 10.0  # without a record; then it is seen whether the database is as it was left

Gathered = dict[TopicPartition, list[ChangelogRecord]]


async def project(
    client: ClientArguments,
    name: str,
    registry: Registry,
    store: StatusStore,
    journal: Journal,
    retention_days: int,
    clock: Clock,
    stop: asyncio.Event,
) -> None:
    """Run until `stop` is set. A record that is read again changes nothing."""
    projector = Projector(group_member(client, GROUP, name), registry, store, journal, stop)
    cleaner = Cleaner(store, registry.kinds, retention_days, clock, projector.reads_first_partition)
    await run_beside(projector.run(name), watch_progress(projector.probes), cleaner.run())


class Projector(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """The loop, and its probes for the watchdog."""

    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        registry: Registry,
        store: StatusStore,
        journal: Journal,
        stop: asyncio.Event,
    ) -> None:
        self._consumer = consumer
        self._registry = registry
        self._store = store
        self._stop = stop
        self._position = Position(consumer, registry, store, journal)
        self._is_lost = True  # where to continue is to be read from the database first
        self._unpublished = 0  # records that were read and are not published yet
        self._uncommitted = 0  # published records whose offsets are not committed yet
        self._attempts = 0  # to write; a failed one is progress, too
        self._commits = 0
        self._commit_at = 0.0
        self._look_at = 0.0

    async def run(self, name: str) -> None:
        await self._with_retries(self._store.prepare)
        try:
            await self._consumer.start()
            self._consumer.subscribe([CHANGELOG], listener=self)
            log.info("projector ready", extra={"sluice.name": name})
            while not self._stop.is_set():
                await self._poll()
        finally:
            await self._consumer.stop()

    def reads_first_partition(self) -> bool:
        """So does one projector of all, but for a moment around a rebalance."""
        return FIRST_PARTITION in self._consumer.assignment()

    async def probes(self) -> list[Probe]:
        """Records must be published or retried, and their offsets committed."""
        behind = await unread(self._consumer)
        waiting = None if behind is None and not self._unpublished else self._unpublished + (behind or 0)
        return [
            Probe("records of the journal", waiting, self._attempts, PROGRESS_SECONDS_MAX),
            Probe("commits of offsets", self._uncommitted, self._commits, PROGRESS_SECONDS_MAX),
        ]

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None: ...

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """The group's offsets are not where to continue."""
        self._is_lost = True

    async def _poll(self) -> None:
        if self._is_lost:
            self._is_lost, self._uncommitted = False, 0
            await self._with_retries(self._position.find)
        gathered = await self._gathered()
        if self._is_lost:
            return  # some of it may be from elsewhere
        now = asyncio.get_running_loop().time()
        if gathered or now >= self._look_at:
            self._look_at = now + IDLE_SECONDS
            self._unpublished = sum(map(len, gathered.values()))
            if not await self._with_retries(partial(self._publish, gathered)):
                return
            self._unpublished = 0
        if self._uncommitted and now >= self._commit_at:
            self._commit_at = now + COMMIT_SECONDS
            await self._commit()

    async def _publish(self, gathered: Gathered) -> None:
        steps, counting = self._position.reading(gathered)
        rows = status_rows(self._registry, chain.from_iterable(counting))
        if await self._position.publish(rows, steps):
            self._uncommitted += self._unpublished
        else:
            self._is_lost = True

    async def _gathered(self) -> Gathered:
        """Records until none arrives for QUIET_SECONDS, within a maximum of time and number."""
        gathered: Gathered = {}
        count = self._add(gathered, await self._read(POLL_MS, POLL_RECORDS_MAX))
        until = asyncio.get_running_loop().time() + GATHER_SECONDS_MAX
        while 0 < count < POLL_RECORDS_MAX and asyncio.get_running_loop().time() < until:
            await asyncio.sleep(QUIET_SECONDS)
            if not (more := self._add(gathered, await self._read(0, POLL_RECORDS_MAX - count))):
                break
            count += more
        return gathered

    def _add(self, gathered: Gathered, fetched: Gathered) -> int:
        for tp, records in fetched.items():
            gathered.setdefault(tp, []).extend(records)
        return sum(map(len, fetched.values()))

    async def _read(self, timeout_ms: int, records_max: int) -> Gathered:
        fetched: Gathered = await self._consumer.getmany(timeout_ms=timeout_ms, max_records=records_max)
        return fetched

    async def _commit(self) -> None:
        try:
            if reached := self._position.reached:
                await self._consumer.commit(reached)
        except KafkaError as error:  # retried; nothing depends on it but what a restored database is found by
            log.warning("offsets not committed", extra={"sluice.error": str(error)})
            return
        self._uncommitted, self._commits = 0, self._commits + 1

    async def _with_retries(self, call: Callable[[], Awaitable[None]]) -> bool:
        """Repeat the call until it succeeds (True) or the projector is to stop (False)."""
        attempt = 0
        while not self._stop.is_set():
            attempt += 1
            self._attempts += 1
            try:
                await call()
                return True
            except Retryable as error:
                log.warning("status not written", extra={"sluice.error": str(error)})
            await asyncio.sleep(PUBLISH_STATUS.wait_seconds(attempt))
        return False
