"""How much a consumer has not read yet, asked of the broker itself: what the consumer believes may be what is stuck."""

import asyncio

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from agents.faust.watchdog import ASK_SECONDS_MAX


async def unread(consumer: AIOKafkaConsumer) -> int | None:
    """Records in the assigned partitions behind its positions; None if the broker does not say within the time."""
    try:
        async with asyncio.timeout(ASK_SECONDS_MAX):
            partitions = list(consumer.assignment())
            ends = await consumer.end_offsets(partitions) if partitions else {}
            left: int = sum([end - await consumer.position(partition) for partition, end in ends.items()])
            return left
    except (TimeoutError, KafkaError):
        return None
