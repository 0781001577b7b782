"""The fetcher's publisher: results for workflows, several in one request to the broker, and dead letters."""

from collections.abc import Sequence
from typing import Any

from aiokafka import AIOKafkaProducer

from agents import concurrency
from agents.activities.batcher import Batcher
from agents.core.context import dead_letter
from agents.failpoints import failpoints
from service.kafka.client import ClientArguments
from topics.catalog import DEAD_LETTERS
from topics.codec import Headers, encode, headers, trace_in, trace_of
from topics.command import Command
from topics.dead_letters import to_record
from topics.partitions import PartitionOf

PUBLISH_TIMEOUT_MS = 60_000
RESULTS_PER_BATCH_MAX = 500

Result = tuple[Command, Headers]


class ResultPublisher:
    """Publishes with acks=all: a call returns when every in-sync replica has the record."""

    def __init__(self, client: ClientArguments, name: str, partition_of: PartitionOf) -> None:
        self._name = name
        self._partition_of = partition_of
        self._producer = AIOKafkaProducer(**client, acks="all", request_timeout_ms=PUBLISH_TIMEOUT_MS)
        self._results: Batcher[Result, None] = Batcher(
            self._publish, batch_size_max=RESULTS_PER_BATCH_MAX, concurrency_max=concurrency.RESULT_BATCHES
        )

    async def start(self) -> None:
        await self._producer.start()

    async def stop(self) -> None:
        await self._producer.stop()

    async def report(self, result: Command, record: Any, command: Command) -> None:
        """Publish the result of a command, in the trace of the command's record."""
        if failpoints.armed and await failpoints.reach("report"):
            return
        trace = trace_in(record.headers) or trace_of(command.key)
        await self._results((result, headers(result, trace, self._name)))
        if failpoints.armed:
            await failpoints.reach("after_report")

    async def reject(self, record: Any, reason: str) -> None:
        """Publish the record as a dead letter, in a batch of its own: `send` takes no record without key and value."""
        key, value, kept = to_record(dead_letter(record, reason))
        batch = self._producer.create_batch()
        batch.append(key=key, value=value, timestamp=None, headers=list(kept))
        batch.close()
        await (await self._producer.send_batch(batch, DEAD_LETTERS, partition=record.partition))

    async def _publish(self, results: Sequence[Result]) -> list[None]:
        sent = [
            await self._producer.send(
                result.topic, encode(result), result.key.encode(), self._partition_of(result.key), headers=list(heads)
            )
            for result, heads in results
        ]
        for future in sent:
            await future
        return [None] * len(results)
