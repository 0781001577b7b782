"""Kafka as any program uses it: records written as they are given, and read as they stand."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

REQUEST_MS = 20_000
RECORD_BYTES_MAX = 1_000_000
POLL_MS = 500

Headers = Sequence[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class Sent:
    """A record to be written; `partition` None leaves the choice to the client."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    partition: int | None = None


def producer(bootstrap: str) -> AIOKafkaProducer:
    """As careful as a client can be: what it says was written is on every replica, once."""
    return AIOKafkaProducer(
        bootstrap_servers=bootstrap.split(","),
        acks="all",
        enable_idempotence=True,
        request_timeout_ms=REQUEST_MS,
        max_request_size=RECORD_BYTES_MAX,
    )


async def write(bootstrap: str, records: Sequence[Sent]) -> list[Any]:
    """Each record's place, in their order. Raises KafkaError where a record is not acknowledged in time."""
    writing = producer(bootstrap)
    await writing.start()
    try:
        places = []
        for record in records:
            headers = list(record.headers)
            place = await writing.send_and_wait(
                record.topic, record.value, record.key, record.partition, headers=headers
            )
            places.append(place)
        return places
    finally:
        await writing.stop()


async def newest(bootstrap: str, topic: str, partitions: int, count: int) -> list[Any]:
    """At most `count` records of each partition, the newest of it, in its order."""
    reading = AIOKafkaConsumer(bootstrap_servers=bootstrap.split(","), auto_offset_reset="earliest")
    await reading.start()
    try:
        tps = [TopicPartition(topic, number) for number in range(partitions)]
        reading.assign(tps)
        begins, ends = await reading.beginning_offsets(tps), await reading.end_offsets(tps)
        found: list[Any] = []
        for tp in tps:
            reading.seek(tp, max(begins[tp], ends[tp] - count))
            while await reading.position(tp) < ends[tp]:
                fetched = await reading.getmany(tp, timeout_ms=POLL_MS)
                found += [record for record in fetched.get(tp, []) if record.offset < ends[tp]]
        return found
    finally:
        await reading.stop()
