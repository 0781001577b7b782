"""The wiring of a worker: processor, table, topics and timers on a Faust app."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from ssl import SSLContext
from typing import Any

from faust import SASLCredentials, SSLCredentials

from agents.core.batch import Batch, Out
from agents.core.context import BatchContext
from agents.core.processor import Processor, process_batch, resend_pending
from agents.core.registry import Registry
from agents.core.timers import PartitionTimers
from agents.faust.app import StrictApp
from agents.faust.reading import FindLogs, Reading
from manifests.entity import Adapter
from topics.catalog import APP_ID, TABLE
from topics.codec import encode, headers, trace_of
from topics.command import TimerDue
from topics.partitions import partitioner

log = logging.getLogger("sluice.worker")

TIMER_TICK_SECONDS = 0.1
SESSION_TIMEOUT_SECONDS = 10


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """Configuration of a worker. `name` is its static membership: unique, and the same after a restart.

    `broker_urls` are kafka://host:port; a user means SASL, a TLS context means TLS. `stops_at_loss`: end instead of
    continuing behind records that left the broker before they were read.
    """

    name: str
    broker_urls: tuple[str, ...]
    partitions: int
    replication: int
    datadir: Path
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    sasl_mechanism: str | None = None
    ssl_context: SSLContext | None = None
    stops_at_loss: bool = False


def build_app(
    config: WorkerConfig,
    registry: Registry,
    adapters: Mapping[str, Adapter],
    now_ms: Callable[[], int],
    find_logs: FindLogs,
) -> StrictApp:
    """The worker: consumes the control topics, keeps the table, publishes what follows."""
    app = _faust_app(config)
    table = app.Table(TABLE, key_type=bytes, value_type=bytes, partitions=config.partitions)
    channel = app.topic(*registry.catalog.control, key_type=bytes, value_type=bytes)
    partition_of = partitioner(config.partitions)
    processor, timers = Processor(registry, adapters), PartitionTimers()

    def handle(batch: Batch) -> None:
        context = BatchContext(batch, registry, partition_of, config.name)
        process_batch(batch, context, processor)
        context.update_timers(timers.of(batch.tp.partition), now_ms())

    def resend(batch: Batch, workflows: Sequence[str]) -> int:
        return resend_pending(workflows, BatchContext(batch, registry, partition_of, config.name), processor)

    def rebuild_timers(held: Sequence[int]) -> None:
        timers.rebuild({partition: table.deadlines(partition) for partition in held}, now_ms())
        log.info("worker ready", extra={"sluice.partitions": len(held)})

    async def tick() -> None:
        while not app.should_stop:
            await asyncio.sleep(TIMER_TICK_SECONDS)
            for partition, due in timers.pop_due(now_ms()).items():
                outs = [_timer_due(key, at, config.name) for key, at in due]
                await app.deliveries.send(app.producer._producer, TimerDue.topic, partition, outs)

    reading = Reading(find_logs, resend, registry.catalog.request_topics, config.stops_at_loss)
    app.handle_batches(channel, table, handle, now_ms, rebuild_timers, reading)
    app.task(tick)
    return app


def _timer_due(key: str, due: int, sent_by: str) -> Out:
    command = TimerDue(workflow=key, due=due)
    return Out(key.encode(), encode(command), headers(command, trace_of(key), sent_by))


def _faust_app(config: WorkerConfig) -> StrictApp:
    options: dict[str, Any] = {
        "broker": list(config.broker_urls),
        "broker_credentials": _credentials(config),
        "processing_guarantee": "at_least_once",
        "stream_wait_empty": True,
        "store": "rocksdb://",
        "datadir": config.datadir,
        "table_standby_replicas": 0,
        "recovery_consistency_check": False,  # it names no remedy; agents.faust.app checks, too
        "topic_allow_declare": False,
        "topic_disable_leader": True,
        "topic_partitions": config.partitions,
        "topic_replication_factor": config.replication,
        "consumer_auto_offset_reset": "none",
        "consumer_group_instance_id": config.name,
        "broker_session_timeout": SESSION_TIMEOUT_SECONDS,
        "broker_heartbeat_interval": 2,
        "broker_rebalance_timeout": 60,
        "broker_request_timeout": 90,
        "broker_max_poll_interval": 86400,
        "broker_max_poll_records": 4000,
        "broker_commit_interval": 1.0,
        "consumer_max_fetch_size": 1_048_576,
        "stream_processing_timeout": 60,
        "producer_acks": -1,
        "producer_linger": 0.0,
        "producer_max_batch_size": 800_000,
        "producer_max_request_size": 1_000_000,
        "producer_request_timeout": 60,
        "value_serializer": "raw",
        "key_serializer": "raw",
        "web_enabled": False,
        "debug": False,
    }
    return StrictApp(APP_ID, **options)


def _credentials(config: WorkerConfig) -> SASLCredentials | SSLCredentials | None:
    if config.username:
        return SASLCredentials(
            username=config.username,
            password=config.password,
            mechanism=config.sasl_mechanism,
            ssl_context=config.ssl_context,
        )
    return SSLCredentials(config.ssl_context) if config.ssl_context else None
