"""The projector: reads the journal and keeps the status tables. It alone publishes state."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from aiokafka.errors import KafkaError

from agents.retry import backoff_seconds
from service.kafka.client import ClientArguments
from service.kafka.consuming import group_member
from service.status.rows import status_rows
from service.status.store import StatusStore
from tables.catalog import read_row
from topics.catalog import CHANGELOG
from topics.errors import Retryable

log = logging.getLogger("sluice.projector")

GROUP = "sluice-projector"
POLL_RECORDS_MAX = 2_000
POLL_MS = 200
WAIT_FIRST_SECONDS = 0.5
WAIT_LONGEST_SECONDS = 10.0


async def project(client: ClientArguments, name: str, store: StatusStore, stop: asyncio.Event) -> None:
    """Until `stop` is set. An offset is committed when its rows are; reading a record again changes nothing."""
    consumer = group_member(client, GROUP, name)
    await _patiently(store.prepare, stop)
    await consumer.start()
    consumer.subscribe([CHANGELOG])
    log.info("projector ready", extra={"sluice.name": name})
    try:
        while not stop.is_set():
            fetched = await consumer.getmany(timeout_ms=POLL_MS, max_records=POLL_RECORDS_MAX)
            values = [record.value for records in fetched.values() for record in records]
            if not values:
                continue
            rows = status_rows(read_row(value) for value in values if value is not None)
            if await _patiently(partial(store.publish, rows), stop):
                await _commit(consumer)
    finally:
        await consumer.stop()


async def _commit(consumer: Any) -> None:
    try:
        await consumer.commit()
    except KafkaError as error:  # read again after a restart, which changes nothing
        log.warning("offsets not committed: %s", error)


async def _patiently(call: Callable[[], Awaitable[None]], stop: asyncio.Event) -> bool:
    """Until it works (True) or `stop` is set (False): without the database there is nothing else to do."""
    attempt = 0
    while not stop.is_set():
        attempt += 1
        try:
            await call()
            return True
        except Retryable as error:
            wait = backoff_seconds(attempt, WAIT_FIRST_SECONDS, WAIT_LONGEST_SECONDS, error.after_seconds)
            log.warning("the database is not there yet: %s", error)
        await asyncio.sleep(wait)
    return False
