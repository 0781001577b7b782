import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError

from service.fetcher import process
from service.fetcher.process import Fetcher
from tests.engine.local import LocalRecord
from topics.codec import encode, headers, trace_in, trace_of
from topics.commands import AnyCommand, Command, FetchPages, FinishRun, PageDone
from topics.dead_letters import from_record
from topics.errors import Rejected

TP = TopicPartition("fetch-page", 0)
OTHER = TopicPartition("fetch-page", 1)
TURNS_MAX = 2_000


class Sent(NamedTuple):
    topic: str
    value: bytes | None
    key: bytes | None
    partition: int
    headers: list[tuple[str, bytes]]


class Producer:
    def __init__(self, **settings: Any) -> None:
        self.sent: list[Sent] = []
        self.failure: Exception | None = None
        self.on_send: Callable[[], Any] | None = None

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def send(self, *record: Any, **more: Any) -> asyncio.Future[None]:
        return asyncio.ensure_future(self.send_and_wait(*record, **more))

    async def send_and_wait(
        self, topic: str, value: bytes | None, key: bytes | None, partition: int, headers: list[tuple[str, bytes]]
    ) -> None:
        if self.failure is not None:
            raise self.failure
        self.sent.append(Sent(topic, value, key, partition, headers))
        if self.on_send is not None:
            await self.on_send()


class Consumer:
    """Hands over what lies in `fetches`, one entry a call. `committed` is what the group knows."""

    def __init__(self) -> None:
        self.fetches: list[dict[TopicPartition, list[LocalRecord]]] = []
        self.reads = 0
        self.committed: dict[TopicPartition, int] = {}
        self.failure: Exception | None = None
        self.listener: Any = None

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def subscribe(self, topics: list[str], listener: Any) -> None:
        self.listener = listener

    async def getmany(self, timeout_ms: int, max_records: int) -> dict[TopicPartition, list[LocalRecord]]:
        self.reads += 1
        await asyncio.sleep(0)
        return self.fetches.pop(0) if self.fetches else {}

    async def commit(self, offsets: dict[TopicPartition, int]) -> None:
        if self.failure is not None:
            raise self.failure
        self.committed.update(offsets)


class ProcessorHarness:
    """A fetcher whose work is done when the test says so. `begun` are the commands it took, in their order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(process, "group_member", lambda client, group, name: Consumer())
        monkeypatch.setattr(process, "AIOKafkaProducer", Producer)
        monkeypatch.setattr(process, "COMMIT_SECONDS", 0.0)
        monkeypatch.setattr(process, "POLL_MS", 1)
        self.begun: list[Command] = []
        self.cancelled: list[Command] = []
        self.may_end = asyncio.Event()
        self.answer: Callable[[AnyCommand], Command | None] = lambda command: None
        self.fetcher = Fetcher({}, "fetcher-1", self.do, lambda key: 5)
        self.consumer: Consumer = self.fetcher._consumer
        self.producer: Producer = self.fetcher._producer
        self.stop = asyncio.Event()

    async def do(self, command: AnyCommand) -> Command | None:
        self.begun.append(command)
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

    async def deliver(self, *records: LocalRecord, tp: TopicPartition = TP) -> None:
        self.consumer.fetches.append({tp: list(records)})
        while self.consumer.fetches:
            await asyncio.sleep(0)
        await turns(10)


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def until(is_so: Callable[[], bool]) -> None:
    for _ in range(TURNS_MAX):
        if is_so():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it never came to that")


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> ProcessorHarness:
    return ProcessorHarness(monkeypatch)


def lease(number: int, org: str = "acme") -> FetchPages:
    return FetchPages(
        workflow=f"entity-sync:{org}:toy:a.pet:full", run=7, org=org, adapter="toy", entity="a.pet", type="full",
        lease=number, first=number, units=1,
    )  # fmt: skip


def record(offset: int, command: Command | bytes, partition: int = 0, **more: Any) -> LocalRecord:
    value = encode(command) if isinstance(command, Command) else command
    return LocalRecord("fetch-page", partition, offset, 0, None, value, more.get("heads", ()))


def told(command: AnyCommand) -> PageDone:
    assert isinstance(command, FetchPages)
    return PageDone(workflow=command.workflow, run=7, lease=command.lease, units=1, pages=1, records=4)


async def test_a_result_is_told_to_its_workflow_with_the_trace_of_its_command(desk: ProcessorHarness) -> None:
    desk.answer = told
    desk.may_end.set()
    async with desk.running():
        await desk.deliver(record(0, lease(1), heads=headers(lease(1), trace_of("run"), "worker-1")))
        await until(lambda: desk.consumer.committed == {TP: 1})
    (sent,) = desk.producer.sent
    assert (sent.topic, sent.key, sent.partition) == ("page-done", lease(1).workflow.encode(), 5)
    assert sent.value == encode(told(lease(1)))
    assert trace_in(sent.headers) == trace_of("run")


async def test_what_is_not_done_is_not_committed(desk: ProcessorHarness) -> None:
    async with desk.running():
        await desk.deliver(record(0, lease(1)))
        assert desk.begun == [lease(1)]
    assert desk.consumer.committed == {}
    assert desk.cancelled == [lease(1)]


async def test_a_command_asked_again_while_it_is_in_hand_is_done_once(desk: ProcessorHarness) -> None:
    async with desk.running():
        await desk.deliver(record(0, lease(1)), record(1, lease(1)))
        desk.may_end.set()
        await until(lambda: desk.consumer.committed == {TP: 2})
    assert desk.begun == [lease(1)]


async def test_a_command_asked_again_when_it_is_done_is_told_again(desk: ProcessorHarness) -> None:
    desk.may_end.set()
    desk.answer = told
    async with desk.running():
        await desk.deliver(record(0, lease(1)))
        await until(lambda: desk.consumer.committed == {TP: 1})
        await desk.deliver(record(1, lease(1)))
        await until(lambda: desk.consumer.committed == {TP: 2})
    assert len(desk.producer.sent) == 2


async def test_what_is_no_command_is_buried_and_acknowledged(desk: ProcessorHarness) -> None:
    async with desk.running():
        await desk.deliver(record(0, b"fetch me a page"))
        await until(lambda: desk.consumer.committed == {TP: 1})
    (sent,) = desk.producer.sent
    letter = from_record(sent.key, sent.value, sent.headers)
    assert (sent.topic, letter.topic, letter.offset) == ("dead-letters", "fetch-page", 0)
    assert letter.reason.startswith("not a fetch-page command")


async def test_what_can_never_be_done_is_buried_and_the_others_go_on(desk: ProcessorHarness) -> None:
    def refuse(command: AnyCommand) -> None:
        if command == lease(1):
            raise Rejected("workflow key 'x' is none")

    desk.answer = refuse
    desk.may_end.set()
    async with desk.running():
        await desk.deliver(record(0, lease(1)), record(1, lease(2)))
        await until(lambda: desk.consumer.committed == {TP: 2})
    (sent,) = desk.producer.sent
    assert from_record(sent.key, sent.value, sent.headers).reason == "workflow key 'x' is none"


async def test_a_failed_publish_ends_the_process_with_nothing_committed(desk: ProcessorHarness) -> None:
    desk.answer = told
    desk.may_end.set()
    desk.producer.failure = KafkaConnectionError("gone")
    async with desk.running() as task:
        await desk.deliver(record(0, lease(1)))
        with pytest.raises(KafkaConnectionError):
            await task
    assert desk.consumer.committed == {}


async def test_a_commit_that_fails_is_tried_again(desk: ProcessorHarness) -> None:
    desk.may_end.set()
    desk.consumer.failure = KafkaConnectionError("gone")
    async with desk.running():
        await desk.deliver(record(0, lease(1)))
        await turns(20)
        desk.consumer.failure = None
        await until(lambda: desk.consumer.committed == {TP: 1})


async def test_a_revoked_partition_is_let_go_at_once_and_forgotten(desk: ProcessorHarness) -> None:
    async with desk.running():
        await desk.deliver(record(0, lease(1)), *(record(n, lease(n + 1)) for n in range(1, 20)))
        await desk.deliver(record(0, lease(1, "other"), 1), tp=OTHER)
        await desk.consumer.listener.on_partitions_revoked([TP])
        assert len(desk.cancelled) == process.IN_FLIGHT_PER_CONNECTION_MAX
        desk.may_end.set()
        await until(lambda: desk.consumer.committed == {OTHER: 1})
        assert len(desk.begun) == process.IN_FLIGHT_PER_CONNECTION_MAX + 1


async def test_a_partition_that_comes_back_begins_at_its_last_commit(desk: ProcessorHarness) -> None:
    async with desk.running():
        await desk.deliver(record(0, lease(1)), record(1, lease(2)))
        await desk.consumer.listener.on_partitions_revoked([TP])
        await desk.consumer.listener.on_partitions_assigned([TP])
        desk.may_end.set()
        await desk.deliver(record(0, lease(1)), record(1, lease(2)))
        await until(lambda: desk.consumer.committed == {TP: 2})
    assert [command.id for command in desk.begun] == [lease(number).id for number in (1, 2, 1, 2)]


async def test_an_assignment_that_is_told_after_its_first_records_commits_none_of_them_early(
    desk: ProcessorHarness,
) -> None:
    desk.answer = told
    async with desk.running():
        await desk.deliver(record(0, lease(1)))
        await desk.consumer.listener.on_partitions_assigned([TP])
        await desk.deliver(record(1, b"no command"))
        await until(lambda: len(desk.producer.sent) == 1)
        await turns(20)
        assert desk.consumer.committed == {}
        desk.may_end.set()
        await until(lambda: desk.consumer.committed == {TP: 2})


async def test_records_that_were_fetched_before_a_rebalance_are_not_worked_on_after_it(desk: ProcessorHarness) -> None:
    async def rebalance() -> None:
        await desk.consumer.listener.on_partitions_revoked([TP])
        await desk.consumer.listener.on_partitions_assigned([TP])

    desk.producer.on_send = rebalance
    desk.may_end.set()
    async with desk.running():
        await desk.deliver(record(0, b"no command"), record(1, lease(1)))
        await turns(20)
        assert desk.begun == []
    assert desk.consumer.committed == {}


async def test_reading_stops_while_too_many_wait_and_goes_on_afterwards(
    desk: ProcessorHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "WAITING_MAX", 10)
    async with desk.running():
        await desk.deliver(*(record(n, lease(n + 1)) for n in range(30)))
        before = desk.consumer.reads
        await asyncio.sleep(0.02)
        assert desk.consumer.reads == before
        desk.may_end.set()
        await until(lambda: desk.consumer.committed == {TP: 30})
        await until(lambda: desk.consumer.reads > before)


async def test_a_connection_with_much_to_do_does_not_hold_up_another(desk: ProcessorHarness) -> None:
    async with desk.running():
        await desk.deliver(*(record(n, lease(n + 1)) for n in range(100)))
        await desk.deliver(record(0, lease(1, "other"), 1), tp=OTHER)
        assert desk.begun.count(lease(1, "other")) == 1
        assert len(desk.begun) == process.IN_FLIGHT_PER_CONNECTION_MAX + 1


async def test_a_fetcher_that_stops_begins_nothing_more(desk: ProcessorHarness) -> None:
    async with desk.running() as task:
        await desk.deliver(*(record(n, lease(n + 1)) for n in range(100)))
        desk.stop.set()
        await task
    assert len(desk.begun) == len(desk.cancelled) == process.IN_FLIGHT_PER_CONNECTION_MAX


async def test_an_action_that_has_nothing_to_tell_yet_is_acknowledged(desk: ProcessorHarness) -> None:
    finish = FinishRun(workflow="w", run=7, org="acme", adapter="toy", outcome="done")
    tp = TopicPartition("run-action", 0)
    desk.may_end.set()
    async with desk.running():
        await desk.deliver(record(0, finish)._replace(topic="run-action"), tp=tp)
        await until(lambda: desk.consumer.committed == {tp: 1})
    assert desk.producer.sent == []
