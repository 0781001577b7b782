"""Batches of records that are sent as they stand: as cheap as a client can be."""

import asyncio
from typing import Any

from aiokafka import AIOKafkaProducer

BATCH_BYTES_MAX = 500_000  # of what is packed; the producer must allow twice that
Outs = dict[tuple[str, int], list[tuple[bytes, bytes]]]  # keys and values by topic and partition


async def publish(producer: AIOKafkaProducer, outs: Outs) -> list[asyncio.Future[Any]]:
    """The confirmations of all batches, which are on their way."""
    sent = []
    for (topic, partition), records in outs.items():
        batch = producer.create_batch()
        for key, value in records:
            if batch.size() + len(value) > BATCH_BYTES_MAX:
                sent.append(await producer.send_batch(batch, topic, partition=partition))
                batch = producer.create_batch()
            assert batch.append(key=key, value=value, timestamp=None) is not None
        sent.append(await producer.send_batch(batch, topic, partition=partition))
    return sent
