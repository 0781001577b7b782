"""The projector: reads the journal and writes the status tables. No other process writes them."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from agents.core.registry import Registry
from agents.core.retry import PUBLISH_STATUS
from agents.ports import Clock
from agents.watchdog import PROGRESS_SECONDS_MAX, Probe, run_beside, watch_progress
from service.kafka.client import ClientArguments
from service.kafka.consumer import group_member, unread
from service.status.cleaner import Cleaner
from service.status.rows import status_rows
from service.status.store import StatusStore
from tables.requests import is_request_log
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


async def project(
    client: ClientArguments,
    name: str,
    registry: Registry,
    store: StatusStore,
    retention_days: int,
    clock: Clock,
    stop: asyncio.Event,
) -> None:
    """Run until `stop` is set. Offsets are committed after their rows; a record that is read again changes nothing."""
    projector = Projector(group_member(client, GROUP, name), registry, store, stop)
    cleaner = Cleaner(store, registry.kinds, retention_days, clock, projector.reads_first_partition)
    await run_beside(projector.run(name), watch_progress(projector.probes), cleaner.run())


class Projector:
    """The loop, and its probes for the watchdog."""

    def __init__(self, consumer: AIOKafkaConsumer, registry: Registry, store: StatusStore, stop: asyncio.Event) -> None:
        self._consumer = consumer
        self._registry = registry
        self._store = store
        self._stop = stop
        self._unpublished = 0  # records that were read and are not published yet
        self._uncommitted = 0  # published records whose offsets are not committed yet
        self._attempts = 0  # to write; a failed one is progress, too
        self._commits = 0
        self._commit_at = 0.0

    async def run(self, name: str) -> None:
        await self._with_retries(self._store.prepare)
        try:
            await self._consumer.start()
            self._consumer.subscribe([CHANGELOG])
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

    async def _poll(self) -> None:
        if values := await self._gathered():
            self._unpublished = len(values)
            rows = status_rows(self._registry, (value for value in values if value is not None))
            if not await self._with_retries(partial(self._store.publish, rows)):
                return
            self._unpublished, self._uncommitted = 0, self._uncommitted + len(values)
        now = asyncio.get_running_loop().time()
        if self._uncommitted and now >= self._commit_at:
            self._commit_at = now + COMMIT_SECONDS
            await self._commit()

    async def _gathered(self) -> list[bytes | None]:
        """Records until none arrives for QUIET_SECONDS, within a maximum of time and number."""
        values = await self._read(POLL_MS, POLL_RECORDS_MAX)
        until = asyncio.get_running_loop().time() + GATHER_SECONDS_MAX
        while values and len(values) < POLL_RECORDS_MAX and asyncio.get_running_loop().time() < until:
            await asyncio.sleep(QUIET_SECONDS)
            if not (more := await self._read(0, POLL_RECORDS_MAX - len(values))):
                break
            values += more
        return values

    async def _read(self, timeout_ms: int, records_max: int) -> list[bytes | None]:
        """Values of workflow records; None for a request log, whose offset still counts."""
        fetched = await self._consumer.getmany(timeout_ms=timeout_ms, max_records=records_max)
        every = [record for records in fetched.values() for record in records]
        return [None if is_request_log(record.key or b"") else record.value for record in every]

    async def _commit(self) -> None:
        try:
            await self._consumer.commit()
        except KafkaError as error:  # retried; records that are read again after a restart change nothing
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
