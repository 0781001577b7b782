"""A data plane that does nothing: every lease and every run's end is told as done at once, in raw batches.

It is as cheap as it can be, so that the worker is what is measured: no models, no headers, no group, no commits.
Run: python -m tests.bench.stub BOOTSTRAP PARTITIONS LEASES; it says `ready`, then works until SIGTERM.
"""

import asyncio
import signal
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence

import msgspec
import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from agents.core.batch import Record
from agents.core.context import PartitionOf
from agents.faust.wiring import partitioner
from tests.bench.lifeline import end_with_parent
from topics.catalog import DATA_TOPICS
from topics.commands import ActionComplete, FetchPages, PageDone

POLL_MS = 100
POLL_RECORDS_MAX = 5_000
BATCH_BYTES_MAX = 500_000
PAGE_RECORDS = 25
Told = tuple[str, str, Mapping[str, object]]  # topic, workflow, what is told


class Asked(msgspec.Struct):
    """Of fetch-page and run-action, what an answer needs."""

    workflow: str
    run: int
    lease: int = 0
    first: int = 0
    units: int = 0
    attempt: int = 1
    closes: bool = False
    outcome: str = "done"


class Stub:
    """`leases` is how many leases an entity has before its source ends."""

    def __init__(self, leases: int, partition_of: PartitionOf) -> None:
        self._leases = leases
        self._partition_of = partition_of
        self._read = msgspec.json.Decoder(Asked).decode
        self._write = msgspec.json.Encoder().encode

    def answers(self, records: Sequence[Record]) -> dict[tuple[str, int], list[tuple[bytes, bytes]]]:
        """What follows from these records, by topic and partition."""
        outs: dict[tuple[str, int], list[tuple[bytes, bytes]]] = defaultdict(list)
        for record in records:
            asked = self._read(record.value or b"")
            topic, told = self._page_done(asked) if record.topic == FetchPages.topic else _complete(asked)
            outs[topic, self._partition_of(asked.workflow)].append((asked.workflow.encode(), self._write(told)))
        return outs

    def _page_done(self, asked: Asked) -> tuple[str, Mapping[str, object]]:
        is_last = asked.lease >= self._leases
        told: dict[str, object] = {
            "workflow": asked.workflow,
            "run": asked.run,
            "lease": asked.lease,
            "attempt": asked.attempt,
            "first": asked.first,
            "units": asked.units,
            "pages": asked.units,
            "records": asked.units * PAGE_RECORDS,
            "elapsed_ms": 1_000,
            "end": is_last,
        }
        if is_last and asked.closes:
            pages = asked.first + asked.units - 1
            told["closed"] = {"pages": pages, "records": pages * PAGE_RECORDS, "rejected": 0}
        if not is_last:
            told["next_cursor"] = str(asked.first + asked.units)
        return PageDone.topic, told


def _complete(asked: Asked) -> tuple[str, Mapping[str, object]]:
    told = {"workflow": asked.workflow, "run": asked.run, "action": "finish-run", "outcome": asked.outcome}
    return ActionComplete.topic, {**told, "pages": 1, "records": PAGE_RECORDS, "rejected": 0}


async def send(producer: AIOKafkaProducer, topic: str, partition: int, outs: Sequence[tuple[bytes, bytes]]) -> None:
    batch = producer.create_batch()
    for key, value in outs:
        if batch.size() + len(value) > BATCH_BYTES_MAX:
            await producer.send_batch(batch, topic, partition=partition)
            batch = producer.create_batch()
        batch.append(key=key, value=value, timestamp=None)
    await producer.send_batch(batch, topic, partition=partition)


async def serve(bootstrap: str, partitions: int, leases: int) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    stub = Stub(leases, partitioner(partitions))
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", max_batch_size=BATCH_BYTES_MAX * 2)
    async with consumer, producer:
        tps = [TopicPartition(topic, number) for topic in DATA_TOPICS for number in range(partitions)]
        consumer.assign(tps)
        await consumer.seek_to_end(*tps)
        print("ready", flush=True)
        while not stop.is_set():
            fetched = await consumer.getmany(timeout_ms=POLL_MS, max_records=POLL_RECORDS_MAX)
            outs = stub.answers([record for records in fetched.values() for record in records])
            for (topic, partition), some in outs.items():
                await send(producer, topic, partition, some)


if __name__ == "__main__":
    end_with_parent()
    uvloop.run(serve(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
