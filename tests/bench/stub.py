"""A data plane that does nothing: every lease and every action is reported as done at once, in raw batches.

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
from agents.kinds import SHIPPED
from tests.bench.batches import BATCH_BYTES_MAX, Outs, publish
from tests.bench.parts import end_with_parent
from topics.actions import ActionComplete
from topics.kinds.entity import FetchPages, PageDone
from topics.partitions import PartitionOf, partitioner

POLL_MS = 100
POLL_RECORDS_MAX = 5_000
PAGE_RECORDS = 25
Result = tuple[str, Mapping[str, object]]  # topic and fields


class Received(msgspec.Struct):
    """Of fetch-page and run-action, what a result needs."""

    workflow: str
    run: int
    attempt: int = 1
    lease: int = 0
    first: int = 0
    units: int = 0
    closes: bool = False
    action: str = ""
    step: str = ""
    input: dict[str, str] = {}


class Stub:
    """`leases` is how many leases an entity has before its source ends."""

    def __init__(self, leases: int, partition_of: PartitionOf) -> None:
        self._leases = leases
        self._partition_of = partition_of
        self._read = msgspec.json.Decoder(Received).decode
        self._write = msgspec.json.Encoder().encode

    def results(self, records: Sequence[Record]) -> Outs:
        """What follows from these records."""
        outs: Outs = defaultdict(list)
        for record in records:
            command = self._read(record.value or b"")
            topic, fields = self._page_done(command) if record.topic == FetchPages.topic else _complete(command)
            outs[topic, self._partition_of(command.workflow)].append((command.workflow.encode(), self._write(fields)))
        return outs

    def _page_done(self, lease: Received) -> Result:
        is_last = lease.lease >= self._leases
        fields: dict[str, object] = {
            "workflow": lease.workflow,
            "run": lease.run,
            "lease": lease.lease,
            "attempt": lease.attempt,
            "first": lease.first,
            "units": lease.units,
            "pages": lease.units,
            "records": lease.units * PAGE_RECORDS,
            "elapsed_ms": 1_000,
            "end": is_last,
        }
        if is_last and lease.closes:
            pages = lease.first + lease.units - 1
            fields["closed"] = {"pages": pages, "records": pages * PAGE_RECORDS, "rejected": 0}
        if not is_last:
            fields["next_cursor"] = str(lease.first + lease.units)
        return PageDone.topic, fields


def _complete(action: Received) -> Result:
    """A run is closed with whatever outcome it was to have."""
    return ActionComplete.topic, {
        "workflow": action.workflow,
        "run": action.run,
        "action": action.action,
        "step": action.step,
        "attempt": action.attempt,
        "result": {**action.input, "pages": 1, "records": PAGE_RECORDS, "rejected": 0},
    }


async def serve(bootstrap: str, partitions: int, leases: int) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    stub = Stub(leases, partitioner(partitions))
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", max_batch_size=BATCH_BYTES_MAX * 2)
    async with consumer, producer:
        tps = [TopicPartition(topic, number) for topic in SHIPPED.catalog.data for number in range(partitions)]
        consumer.assign(tps)
        await consumer.seek_to_end(*tps)
        print("ready", flush=True)
        while not stop.is_set():
            fetched = await consumer.getmany(timeout_ms=POLL_MS, max_records=POLL_RECORDS_MAX)
            outs = stub.results([record for records in fetched.values() for record in records])
            await publish(producer, outs)


if __name__ == "__main__":
    end_with_parent()
    uvloop.run(serve(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
