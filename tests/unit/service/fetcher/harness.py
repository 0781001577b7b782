"""A fetcher between a consumer and a producer in memory; its activities end when `may_end` is set."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest
from aiokafka import TopicPartition

from agents.kinds import SHIPPED
from service.fetcher import consumer, process, publisher
from service.fetcher.liveness import Liveness
from service.fetcher.process import Fetcher
from tests.support.consumer import Consumer
from topics.codec import Headers
from topics.command import Command
from topics.kinds.entity import FetchPages, PageDone

TP = TopicPartition("fetch-page", 0)
OTHER = TopicPartition("fetch-page", 1)
TURNS_MAX = 5_000


SentHeaders = list[tuple[str, bytes | None]]


class Sent(NamedTuple):
    topic: str
    value: bytes | None
    key: bytes | None
    partition: int
    headers: SentHeaders


class Batch:
    """Of one record."""

    def append(self, *, key: bytes | None, value: bytes | None, timestamp: None, headers: SentHeaders) -> None:
        self.record = value, key, headers

    def close(self) -> None: ...


class Producer:
    def __init__(self, **settings: Any) -> None:
        self.sent: list[Sent] = []
        self.failure: Exception | None = None
        self.on_send: Callable[[], Awaitable[None]] | None = None

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def send(self, *record: Any, **more: Any) -> asyncio.Future[None]:
        return asyncio.ensure_future(self.send_and_wait(*record, **more))

    def create_batch(self) -> Batch:
        return Batch()

    async def send_batch(self, batch: Batch, topic: str, partition: int) -> asyncio.Future[None]:
        value, key, headers = batch.record
        return asyncio.ensure_future(self.send_and_wait(topic, value, key, partition, headers))

    async def send_and_wait(
        self, topic: str, value: bytes | None, key: bytes | None, partition: int, headers: SentHeaders
    ) -> None:
        if self.failure is not None:
            raise self.failure
        self.sent.append(Sent(topic, value, key, partition, headers))
        if self.on_send is not None:
            await self.on_send()


class FetcherBench:
    """`begun` are the commands whose activity began, in order; `answer` makes their results once `may_end` is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(consumer, "group_member", lambda client, group, name: Consumer())
        monkeypatch.setattr(publisher, "AIOKafkaProducer", Producer)
        monkeypatch.setattr(process, "COMMIT_SECONDS", 0.0)
        monkeypatch.setattr(process, "PAUSE_SECONDS", 0.0)
        self.begun: list[Command] = []
        self.redelivered: list[Command] = []
        self.cancelled: list[Command] = []
        self.may_end = asyncio.Event()
        self.answer: Callable[[FetchPages], Command] = result
        self.liveness = Liveness()
        self.fetcher = Fetcher({}, "fetcher-1", SHIPPED, self._run, lambda key: 5, self.liveness)
        self.consumer: Consumer = self.fetcher._consumer._consumer
        self.producer: Producer = self.fetcher._publisher._producer
        self.stop = asyncio.Event()

    async def _run(self, command: Command, is_redelivered: bool) -> Command:
        assert isinstance(command, FetchPages)
        self.begun.append(command)
        self.redelivered += [command] if is_redelivered else []
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.cancelled.append(command)
            raise
        return self.answer(command)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["asyncio.Task[None]"]:
        task = asyncio.create_task(self.fetcher.run(self.stop))
        await turns(10)
        yield task
        self.stop.set()
        await asyncio.wait([task])

    async def deliver(self, *messages: Command | bytes, tp: TopicPartition = TP, headers: Headers = ()) -> None:
        """Returns once they were read."""
        self.consumer.append(tp, *messages, headers=headers)
        await until(lambda: self.consumer.positions[tp] == len(self.consumer.log[tp]))
        await turns(10)

    async def until_committed(self, offset: int, tp: TopicPartition = TP) -> None:
        await until(lambda: self.consumer.committed_offsets.get(tp) == offset)


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def until(is_so: Callable[[], bool]) -> None:
    for _ in range(TURNS_MAX):
        if is_so():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it did not come to that")


def lease(number: int, org: str = "acme") -> FetchPages:
    return FetchPages(
        workflow=f"entity-sync:{org}:toy:a.pet:full", run=7, org=org, adapter="toy", entity="a.pet", type="full",
        lease=number, first=number, units=1,
    )  # fmt: skip


def leases(count: int) -> list[FetchPages]:
    return [lease(number) for number in range(1, count + 1)]


def result(command: FetchPages) -> PageDone:
    return PageDone(workflow=command.workflow, run=7, lease=command.lease, units=1, pages=1, records=4)
