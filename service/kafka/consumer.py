"""Consumers of a group: static members with explicit commits that are expelled after 10 s without a heartbeat."""

import asyncio
from collections.abc import Iterable

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from agents.core.reading import LostRecords
from agents.watchdog import BROKER_SECONDS_MAX
from service.kafka.client import ClientArguments
from topics.catalog import FETCH_WAIT_MS

SESSION_TIMEOUT_MS = 10_000  # a member without a heartbeat for this long loses its partitions
HEARTBEAT_MS = 2_000
MAX_POLL_INTERVAL_MS = 3_600_000


def group_member(client: ClientArguments, group: str, name: str) -> AIOKafkaConsumer:
    """A consumer, not started and without a subscription. `name` is its static membership."""
    return AIOKafkaConsumer(
        **client,
        group_id=group,
        group_instance_id=name,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        session_timeout_ms=SESSION_TIMEOUT_MS,
        heartbeat_interval_ms=HEARTBEAT_MS,
        max_poll_interval_ms=MAX_POLL_INTERVAL_MS,
        fetch_max_wait_ms=FETCH_WAIT_MS,
    )


async def unread(consumer: AIOKafkaConsumer) -> int | None:
    """Records after the consumer's positions in its partitions that are not paused; None if the broker does not answer.

    The broker is asked for the ends, because the consumer's own view may be stuck.
    """
    try:
        async with asyncio.timeout(BROKER_SECONDS_MAX):
            partitions = list(consumer.assignment() - consumer.paused())
            ends = await consumer.end_offsets(partitions) if partitions else {}
            count: int = sum([end - await consumer.position(partition) for partition, end in ends.items()])
            return count
    except (TimeoutError, KafkaError):
        return None


async def lost_before(consumer: AIOKafkaConsumer, tps: Iterable[TopicPartition]) -> list[LostRecords]:
    """Records behind the committed offsets of partitions that have left the broker."""
    lost = []
    for tp, begin in (await consumer.beginning_offsets(list(tps))).items():
        committed = await consumer.committed(tp)
        if committed is not None and committed < begin:
            lost.append(LostRecords(tp.topic, tp.partition, committed, begin))
    return lost
