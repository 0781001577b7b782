"""What each role lets its watchdog see: legitimate waiting moves a mark, standing still does not."""

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from agents.faust.watchdog import EXIT_WAS_FROZEN, Probe
from service.api.reply import Reply
from service.api.transport import HttpTransport
from service.fetcher import process
from service.fetcher.liveness import Liveness, WatchedTransport
from service.fetcher.process import Fetcher
from service.kafka.consumer import SESSION_TIMEOUT_MS
from service.status import projector
from service.status.projector import Projector
from tests.engine.local import LocalRecord
from tests.support.consumer import HeldPartition
from topics.codec import encode
from topics.commands import AnyCommand, FetchPages, TimerDue
from topics.errors import Retryable

TP = TopicPartition("fetch-page", 0)
WAIT_SECONDS_MAX = 10
LEASE = FetchPages(
    workflow="entity-sync:acme:pco:people.person:full",
    run=1,
    org="acme",
    adapter="pco",
    entity="people.person",
    type="full",
    lease=1,
    first=1,
    units=1,
)


class Consumer(HeldPartition):
    """Hands over `records` once."""

    def __init__(self, *records: LocalRecord) -> None:
        super().__init__(TP, len(records))
        self.records = list(records)
        self.read = 0
        self.failure: KafkaError | None = None

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def subscribe(self, topics: list[str], listener: Any = None) -> None: ...

    async def position(self, partition: TopicPartition) -> int:
        return self.read

    async def getmany(self, timeout_ms: int, max_records: int) -> dict[TopicPartition, list[LocalRecord]]:
        await asyncio.sleep(0)
        new, self.records = self.records, []
        self.read += len(new)
        return {TP: new} if new else {}

    async def commit(self, offsets: Any = None) -> None:
        if self.failure is not None:
            raise self.failure


def at(offset: int, command: AnyCommand = LEASE) -> LocalRecord:
    return LocalRecord(command.topic, 0, offset, 0, command.key.encode(), encode(command), ())


def seen(probes: list[Probe]) -> dict[str, int | None]:
    return {probe.what: probe.waiting for probe in probes}


def mark(probes: list[Probe], what: str) -> Any:
    return next(probe.mark for probe in probes if probe.what == what)


async def turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0.001)


async def until(look: Callable[[], Awaitable[list[Probe]]], what: str, waiting: int | None) -> list[Probe]:
    """The gauges, once so much waits."""
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        while seen(probes := await look()).get(what) != waiting:
            await asyncio.sleep(0.001)
    return probes


class Work:
    """A fetcher on a consumer of ours, whose leases end when the test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *records: LocalRecord) -> None:
        self.consumer = Consumer(*records)
        self.may_end = asyncio.Event()
        quiet = SimpleNamespace(start=turns, stop=turns)
        monkeypatch.setattr(process, "group_member", lambda client, group, name: self.consumer)
        monkeypatch.setattr(process, "AIOKafkaProducer", lambda **settings: quiet)
        monkeypatch.setattr(process, "COMMIT_SECONDS", 0.001)
        self.fetcher = Fetcher({}, "fetcher-1", self.do, lambda key: 0)
        self.stop = asyncio.Event()
        self.task = asyncio.create_task(self.fetcher.run(self.stop))

    async def do(self, command: AnyCommand) -> None:
        await self.may_end.wait()

    async def until(self, what: str, waiting: int | None) -> list[Probe]:
        return await until(self.fetcher._probes, what, waiting)

    async def end(self) -> None:
        self.stop.set()
        await self.task


async def test_a_fetcher_has_in_hand_what_it_read_and_names_each_command(monkeypatch: pytest.MonkeyPatch) -> None:
    work = Work(monkeypatch, at(0))
    assert seen(await work.until("commands in hand", 1)) == {
        "records to read": 0,
        "commands in hand": 1,
        "commits of offsets": 0,
        "the command at fetch-page/0/0": 1,
    }
    await work.end()


async def test_a_lease_that_hangs_and_is_asked_for_again_gives_no_sign_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    work = Work(monkeypatch, at(0))
    before = mark(await work.until("commands in hand", 1), "commands in hand")
    work.consumer.records, work.consumer.end = [at(1)], 2
    after = await work.until("records to read", 0)
    assert (mark(after, "records to read"), mark(after, "commands in hand")) == (2, before)
    await work.end()


async def test_a_lease_that_ends_is_a_sign_of_life_and_its_offset_is_committed(monkeypatch: pytest.MonkeyPatch) -> None:
    work = Work(monkeypatch, at(0))
    before = await work.until("commands in hand", 1)
    work.may_end.set()
    await work.until("commands in hand", 0)
    after = await work.until("commits of offsets", 0)
    assert seen(after) == {"records to read": 0, "commands in hand": 0, "commits of offsets": 0}
    assert mark(after, "commands in hand") > mark(before, "commands in hand")
    assert mark(after, "commits of offsets") == 1
    await work.end()


async def test_offsets_that_cannot_be_committed_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    work = Work(monkeypatch, at(0))
    work.consumer.failure = KafkaError()
    work.may_end.set()
    assert mark(await work.until("commits of offsets", 1), "commits of offsets") == 0
    await work.end()


async def test_records_that_the_broker_has_and_the_consumer_does_not_get_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    work = Work(monkeypatch)
    work.consumer.end = 4
    await work.until("records to read", 4)
    work.consumer.end = None
    await work.until("records to read", None)
    await work.end()


class Store:
    """A database that is away for so many attempts."""

    def __init__(self, away: int) -> None:
        self.away = away

    async def prepare(self) -> None: ...

    async def publish(self, rows: Any) -> None:
        self.away -= 1
        if self.away >= 0:
            raise Retryable("connection refused")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WAIT_FIRST_SECONDS", "WAIT_LONGEST_SECONDS", "QUIET_SECONDS", "COMMIT_SECONDS"):
        monkeypatch.setattr(projector, name, 0.001)


def journal(monkeypatch: pytest.MonkeyPatch) -> Consumer:
    monkeypatch.setattr(projector, "read_row", lambda value: SimpleNamespace(state=None))
    return Consumer(at(0, TimerDue(workflow="main-sync:acme:pco:full", due=1)))


@pytest.mark.usefixtures("impatient")
async def test_a_projector_whose_database_is_away_gives_signs_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    stop = asyncio.Event()
    store: Any = Store(away=1_000_000)
    consumer: Any = journal(monkeypatch)
    reading = Projector(consumer, store, stop)
    running = asyncio.create_task(reading.run("projector-1"))
    before = await until(reading.probes, "records of the journal", 1)
    await turns()
    after = await reading.probes()
    assert seen(after) == {"records of the journal": 1, "commits of offsets": 0}
    assert mark(after, "records of the journal") > mark(before, "records of the journal")
    stop.set()
    await running


@pytest.mark.usefixtures("impatient")
async def test_a_projector_commits_again_what_was_not_committed(monkeypatch: pytest.MonkeyPatch) -> None:
    stop = asyncio.Event()
    consumer: Any = journal(monkeypatch)
    consumer.failure = KafkaError()
    store: Any = Store(away=0)
    reading = Projector(consumer, store, stop)
    running = asyncio.create_task(reading.run("projector-1"))
    await until(reading.probes, "commits of offsets", 1)
    consumer.failure = None
    await until(reading.probes, "commits of offsets", 0)
    stop.set()
    await running


def stand_still(signs: Liveness) -> None:
    """As long as it takes to lose one's partitions."""
    signs.awake._seen_at -= 2 * SESSION_TIMEOUT_MS / 1000


async def test_a_fetcher_that_was_frozen_asks_for_nothing_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    class Ended(BaseException): ...

    class Api(HttpTransport):
        async def exchange(self, *asked: object, **more: object) -> Reply:
            raise AssertionError("it asked")

    def end(code: int) -> None:
        assert code == EXIT_WAS_FROZEN
        raise Ended

    signs = Liveness()
    monkeypatch.setattr("agents.faust.watchdog.os._exit", end)
    stand_still(signs)
    with pytest.raises(Ended):
        await WatchedTransport(Api(), signs).exchange("a page", "GET", "http://api", {})


async def test_a_start_that_takes_longer_than_a_session_is_no_freeze(monkeypatch: pytest.MonkeyPatch) -> None:
    """The broker may be away for a while before the group is joined."""
    ends: list[int] = []
    monkeypatch.setattr("agents.faust.watchdog.os._exit", ends.append)
    monkeypatch.setattr("service.fetcher.liveness.AWAKE_SECONDS", 0.001)
    signs = Liveness()
    stand_still(signs)
    watching = asyncio.create_task(signs.watch_for_freezing())
    await asyncio.sleep(0.01)
    signs.check_awake()
    assert ends == []
    watching.cancel()
