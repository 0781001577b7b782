import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.producer.message_accumulator import BatchBuilder

from agents.core.batch import Out
from agents.faust.producer import Deliveries
from topics.catalog import RECORD_BYTES_MAX
from topics.errors import Broken, Retryable

BATCH_BYTES = 1_000


class Producer:
    """Takes batches; each is confirmed, or not, when the test says so."""

    def __init__(self) -> None:
        self.batches: list[tuple[str, int, int]] = []
        self.futures: list[asyncio.Future[Any]] = []

    def create_batch(self) -> BatchBuilder:
        return BatchBuilder(BATCH_BYTES, 0)

    async def send_batch(self, batch: BatchBuilder, topic: str, partition: int) -> "asyncio.Future[Any]":
        self.batches.append((topic, partition, batch.record_count()))
        self.futures.append(asyncio.get_running_loop().create_future())
        return self.futures[-1]

    def confirm(self, number: int, offset: int) -> None:
        self.futures[number].set_result(SimpleNamespace(topic_partition=self.batches[number][:2], offset=offset))


class Bench:
    def __init__(self) -> None:
        self.failures: list[Exception] = []
        self.delivered: list[tuple[Any, int, int]] = []
        self.producer = Producer()
        self.deliveries = Deliveries(self.failures.append)

    async def send(self, *values: bytes | None, topic: str = "control") -> None:
        outs = [Out(b"k", value, (("h", b"v"),)) for value in values]
        await self.deliveries.send(self.producer, topic, 3, outs, lambda *batch: self.delivered.append(batch))


async def test_records_go_together_and_the_offsets_of_each_batch_are_reported() -> None:
    bench = Bench()
    await bench.send(b"a", None, b"c")
    bench.producer.confirm(0, 40)
    await bench.deliveries.confirmed()
    assert (bench.producer.batches, bench.delivered) == ([("control", 3, 3)], [(("control", 3), 40, 42)])


@pytest.mark.parametrize(("records", "batches"), [(0, []), (1, [1]), (5, [2, 2, 1])])
async def test_what_does_not_fit_into_one_batch_goes_in_several(records: int, batches: list[int]) -> None:
    bench = Bench()
    await bench.send(*[b"x" * 400] * records)
    assert [count for _, _, count in bench.producer.batches] == batches


async def test_confirmed_waits_for_everything_that_is_on_its_way() -> None:
    bench = Bench()
    await bench.send(b"a")
    await bench.send(b"b")
    waiting = asyncio.create_task(bench.deliveries.confirmed())
    bench.producer.confirm(1, 0)
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done()
    bench.producer.confirm(0, 0)
    await waiting


async def test_the_first_failure_is_kept_and_nothing_more_is_sent_or_confirmed() -> None:
    bench = Bench()
    await bench.send(b"a", topic="page-done")
    await bench.send(b"b")
    bench.producer.futures[0].set_exception(ValueError("lost"))
    bench.producer.futures[1].set_exception(ValueError("lost, too"))
    for _ in range(2):
        with pytest.raises(Retryable, match=r"publishing to page-done/3 failed: ValueError\('lost'\)"):
            await bench.deliveries.confirmed()
    with pytest.raises(Retryable):
        await bench.send(b"c")
    with pytest.raises(Retryable):
        bench.deliveries.check()
    assert (len(bench.failures), len(bench.producer.batches), bench.delivered) == (1, 2, [])


async def test_a_delivery_that_was_cancelled_has_failed() -> None:
    bench = Bench()
    await bench.send(b"a")
    bench.producer.futures[0].cancel()
    with pytest.raises(Retryable, match="CancelledError"):
        await bench.deliveries.confirmed()


async def test_a_record_that_no_broker_would_take_stops_the_process() -> None:
    bench = Bench()
    with pytest.raises(Broken, match="a record of 900001 bytes for key b'k': at most 900000 are allowed"):
        await bench.send(b"x" * (RECORD_BYTES_MAX + 1))
    assert bench.producer.batches == []
