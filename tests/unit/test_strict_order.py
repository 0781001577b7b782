import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.producer.message_accumulator import BatchBuilder

from agents.core.batch import Batch, Out
from agents.faust.order import check_order
from agents.faust.producer import Deliveries
from tests.engine.local import LocalRecord, LocalTable, LocalTP
from topics.catalog import RECORD_BYTES_MAX
from topics.errors import Broken, Retryable

BATCH_BYTES = 1_000


def records(*offsets: int) -> Sequence[LocalRecord]:
    return [LocalRecord("control", 0, offset, 0, None, b"", ()) for offset in offsets]


@pytest.mark.parametrize(
    ("expected", "offsets"), [(None, (5, 6)), (5, (5, 6, 7)), (5, (5,)), (9, (5, 6)), (6, (5, 6, 7))]
)
def test_records_without_a_gap_and_replays_are_welcome(expected: int | None, offsets: tuple[int, ...]) -> None:
    check_order(expected, records(*offsets), "control/0")


@pytest.mark.parametrize(
    ("expected", "offsets"), [(4, (5, 6)), (5, (5, 7)), (None, (5, 7)), (5, (6, 5)), (5, (5, 5, 6)), (9, (5, 7))]
)
def test_records_that_are_missing_stop_the_process(expected: int | None, offsets: tuple[int, ...]) -> None:
    with pytest.raises(Broken, match=r"control/0: records are missing: expected offset .* nothing of this batch"):
        check_order(expected, records(*offsets), "control/0")


def test_a_batch_reads_its_own_writes_and_journals_each_of_them() -> None:
    table = LocalTable()
    table.values = {b"a": b"old", b"b": b"old"}
    batch = Batch(table, LocalTP("control", 0), (), 1)
    batch.put(b"a", b"1")
    batch.put(b"a", b"2")
    batch.put(b"b", None)
    assert (batch.get(b"a"), batch.get(b"b"), batch.get(b"c")) == (b"2", None, None)
    assert batch.changelog == [Out(b"a", b"1"), Out(b"a", b"2"), Out(b"b", None)]
    assert table.values == {b"a": b"old", b"b": b"old"}


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


class Network:
    def __init__(self) -> None:
        self.failures: list[Exception] = []
        self.delivered: list[tuple[Any, int]] = []
        self.producer = Producer()
        self.deliveries = Deliveries(self.failures.append)

    async def send(self, *values: bytes | None, topic: str = "control") -> None:
        outs = [Out(b"k", value, (("h", b"v"),)) for value in values]
        await self.deliveries.send(
            self.producer, topic, 3, outs, lambda tp, offset: self.delivered.append((tp, offset))
        )


async def test_records_go_together_and_the_last_offset_of_each_batch_is_told() -> None:
    sea = Network()
    await sea.send(b"a", None, b"c")
    sea.producer.confirm(0, 40)
    await sea.deliveries.confirmed()
    assert (sea.producer.batches, sea.delivered) == ([("control", 3, 3)], [(("control", 3), 42)])


async def test_what_does_not_fit_into_one_batch_goes_in_several() -> None:
    sea = Network()
    await sea.send(*[b"x" * 400] * 5)
    assert [count for _, _, count in sea.producer.batches] == [2, 2, 1]


async def test_no_records_are_no_batch() -> None:
    sea = Network()
    await sea.send()
    assert sea.producer.batches == []


async def test_confirmed_waits_for_everything_that_is_on_its_way() -> None:
    sea = Network()
    await sea.send(b"a")
    await sea.send(b"b")
    waiting = asyncio.create_task(sea.deliveries.confirmed())
    sea.producer.confirm(1, 0)
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done()
    sea.producer.confirm(0, 0)
    await waiting


async def test_the_first_failure_is_kept_and_nothing_more_is_sent_or_confirmed() -> None:
    sea = Network()
    await sea.send(b"a", topic="page-done")
    await sea.send(b"b")
    sea.producer.futures[0].set_exception(ValueError("lost"))
    sea.producer.futures[1].set_exception(ValueError("lost, too"))
    for _ in range(2):
        with pytest.raises(Retryable, match=r"publishing to page-done/3 failed: ValueError\('lost'\)"):
            await sea.deliveries.confirmed()
    with pytest.raises(Retryable):
        await sea.send(b"c")
    with pytest.raises(Retryable):
        sea.deliveries.check()
    assert (len(sea.failures), len(sea.producer.batches), sea.delivered) == (1, 2, [])


async def test_a_delivery_that_was_cancelled_has_failed() -> None:
    sea = Network()
    await sea.send(b"a")
    sea.producer.futures[0].cancel()
    with pytest.raises(Retryable, match="CancelledError"):
        await sea.deliveries.confirmed()


async def test_a_record_that_no_broker_would_take_stops_the_process() -> None:
    sea = Network()
    with pytest.raises(Broken, match="a record of 900001 bytes for key b'k': at most 900000 are allowed"):
        await sea.send(b"x" * (RECORD_BYTES_MAX + 1))
    assert sea.producer.batches == []
