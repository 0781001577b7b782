"""The projector: reads the journal and keeps the status tables. It alone publishes state."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from agents.core.retry import backoff_seconds
from agents.faust.watchdog import PROGRESS_SECONDS_MAX, Probe, watch_progress
from service.kafka.client import ClientArguments
from service.kafka.consumer import group_member
from service.kafka.unread import unread
from service.status.rows import status_rows
from service.status.store import StatusStore
from tables.catalog import read_row
from topics.catalog import CHANGELOG
from topics.errors import Retryable

log = logging.getLogger("sluice.projector")

GROUP = "sluice-projector"
POLL_RECORDS_MAX = 4_000
POLL_MS = 200
# Of what a workflow does meanwhile only the newest is written: records are gathered until none has come for a moment.
QUIET_SECONDS = 0.01
GATHER_SECONDS_MAX = 0.25
COMMIT_SECONDS = 1.0
WAIT_FIRST_SECONDS = 0.5
WAIT_LONGEST_SECONDS = 10.0


async def project(client: ClientArguments, name: str, store: StatusStore, stop: asyncio.Event) -> None:
    """Until `stop` is set. An offset is committed when its rows are; reading a record again changes nothing."""
    projector = Projector(group_member(client, GROUP, name), store, stop)
    watching = asyncio.create_task(watch_progress(projector.probes))
    try:
        await projector.run(name)
    finally:
        watching.cancel()


class Projector:
    """The loop, and what a watchdog can see of it."""

    def __init__(self, consumer: AIOKafkaConsumer, store: StatusStore, stop: asyncio.Event) -> None:
        self._consumer = consumer
        self._store = store
        self._stop = stop
        self._in_hand = 0  # records that were read and are not published yet
        self._uncommitted = 0  # records that were published
        self._attempts = 0  # to reach the database; one that failed is a sign of life, too
        self._commits = 0
        self._commit_at = 0.0

    async def run(self, name: str) -> None:
        await self._patiently(self._store.prepare)
        try:
            await self._consumer.start()
            self._consumer.subscribe([CHANGELOG])
            log.info("projector ready", extra={"sluice.name": name})
            while not self._stop.is_set():
                await self._poll()
        finally:
            await self._consumer.stop()

    async def probes(self) -> list[Probe]:
        """Without the database there is nothing to do but to try again; otherwise what waits must move."""
        left = await unread(self._consumer)
        waiting = None if left is None and not self._in_hand else self._in_hand + (left or 0)
        return [
            Probe("records of the journal", waiting, self._attempts, PROGRESS_SECONDS_MAX),
            Probe("commits of offsets", self._uncommitted, self._commits, PROGRESS_SECONDS_MAX),
        ]

    async def _poll(self) -> None:
        if values := await self._gathered():
            self._in_hand = len(values)
            rows = status_rows(read_row(value) for value in values if value is not None)
            if not await self._patiently(partial(self._store.publish, rows)):
                return
            self._in_hand, self._uncommitted = 0, self._uncommitted + len(values)
        now = asyncio.get_running_loop().time()
        if self._uncommitted and now >= self._commit_at:
            self._commit_at = now + COMMIT_SECONDS
            await self._commit()

    async def _gathered(self) -> list[bytes | None]:
        """Records up to the next quiet moment, or up to a maximum of time or number."""
        values = await self._read(POLL_MS, POLL_RECORDS_MAX)
        until = asyncio.get_running_loop().time() + GATHER_SECONDS_MAX
        while values and len(values) < POLL_RECORDS_MAX and asyncio.get_running_loop().time() < until:
            await asyncio.sleep(QUIET_SECONDS)
            if not (more := await self._read(0, POLL_RECORDS_MAX - len(values))):
                break
            values += more
        return values

    async def _read(self, timeout_ms: int, records_max: int) -> list[bytes | None]:
        fetched = await self._consumer.getmany(timeout_ms=timeout_ms, max_records=records_max)
        return [record.value for records in fetched.values() for record in records]

    async def _commit(self) -> None:
        try:
            await self._consumer.commit()
        except KafkaError as error:  # tried again; whatever is read again after a restart changes nothing
            log.warning("offsets not committed: %s", error)
            return
        self._uncommitted, self._commits = 0, self._commits + 1

    async def _patiently(self, call: Callable[[], Awaitable[None]]) -> bool:
        """Until it works (True) or it is to stop (False): without the database there is nothing else to do."""
        attempt = 0
        while not self._stop.is_set():
            attempt += 1
            self._attempts += 1
            try:
                await call()
                return True
            except Retryable as error:
                wait = backoff_seconds(attempt, WAIT_FIRST_SECONDS, WAIT_LONGEST_SECONDS, error.after_seconds)
                log.warning("the database is not there yet: %s", error)
            await asyncio.sleep(wait)
        return False
