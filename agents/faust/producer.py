"""Publishing in batches: one future per Kafka batch, and a flush that waits for every one of them."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from faust.transport.drivers import aiokafka as driver

from agents.core.batch import Out
from topics.catalog import RECORD_BYTES_MAX
from topics.errors import Broken, Retryable

Delivered = Callable[[Any, int, int], None]  # topic and partition, first and last offset


class StrictProducer(driver.Producer):  # type: ignore[misc]  # faust has no types
    """`flush` returns only when the broker has confirmed everything that was sent, and raises if it did not."""

    async def flush(self) -> None:
        if self._producer is not None:
            await self._producer.flush()
        await self.app.deliveries.confirmed()


class Deliveries:
    """The batches that are on their way. The first failure is kept: after it nothing may be committed any more."""

    def __init__(self, on_failure: Callable[[Exception], None]) -> None:
        self.failure: Exception | None = None
        self._on_failure = on_failure
        self._inflight: set[asyncio.Future[Any]] = set()

    def fail(self, error: Exception) -> None:
        if self.failure is None:
            self.failure = error
            self._on_failure(error)

    def check(self) -> None:
        if self.failure is not None:
            raise self.failure

    async def confirmed(self) -> None:
        """Wait for everything in flight; raise the first failure there ever was."""
        if self._inflight:
            await asyncio.wait(set(self._inflight))
        self.check()

    async def send(
        self,
        producer: Any,
        topic: str,
        partition: int,
        outs: Iterable[Out],
        on_delivered: Delivered | None = None,
    ) -> None:
        """Send records in order. `on_delivered` is called for each confirmed batch."""
        self.check()
        batch = producer.create_batch()
        for out in outs:
            if _append(batch, out):
                continue
            await self._submit(producer, batch, topic, partition, on_delivered)
            batch = producer.create_batch()
            if not _append(batch, out):
                raise Broken(f"a record for {topic} does not fit into an empty batch")
        if batch.record_count():
            await self._submit(producer, batch, topic, partition, on_delivered)

    async def _submit(
        self,
        producer: Any,
        batch: Any,
        topic: str,
        partition: int,
        on_delivered: Delivered | None,
    ) -> None:
        batch.close()
        count = batch.record_count()
        future = await producer.send_batch(batch, topic, partition=partition)
        self._inflight.add(future)

        def done(future: asyncio.Future[Any]) -> None:
            self._inflight.discard(future)
            error = asyncio.CancelledError() if future.cancelled() else future.exception()
            if error is not None:
                self.fail(Retryable(f"publishing to {topic}/{partition} failed: {error!r}"))
            elif on_delivered is not None:
                metadata = future.result()
                on_delivered(metadata.topic_partition, metadata.offset, metadata.offset + count - 1)

        future.add_done_callback(done)


def _append(batch: Any, out: Out) -> bool:
    if out.value is not None and len(out.value) > RECORD_BYTES_MAX:
        raise Broken(f"a record of {len(out.value)} bytes for key {out.key!r}: at most {RECORD_BYTES_MAX} are allowed")
    return batch.append(key=out.key, value=out.value, timestamp=None, headers=list(out.headers)) is not None
