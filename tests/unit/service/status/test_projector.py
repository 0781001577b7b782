"""The projector and its probes, on a journal in memory."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from agents.core.retry import RetryPolicy
from agents.kinds import SHIPPED
from service.kafka.journal import Journal
from service.status import projector
from service.status.progress import Progress, Step
from service.status.projector import Projector
from service.status.rows import StatusRows
from service.status.store import Met
from tables.requests import log_key
from tests.support.consumer import Consumer
from topics.catalog import CHANGELOG
from topics.errors import Retryable

TP = TopicPartition(CHANGELOG, 0)
JOURNAL = Journal("cluster-1", "topic-1")
GOLDEN = Path(__file__).resolve().parents[3] / "golden"
ROW = b"main-sync:acme:pco:full", (GOLDEN / "rows" / "sync-2.bin").read_bytes()
ENTITY = b"entity-sync:acme:pco:people.person:full", (GOLDEN / "rows" / "entity-2.bin").read_bytes()
LOG = log_key("main-sync:acme:pco:full", 3), (GOLDEN / "requests" / "request-log-1.bin").read_bytes()
RECORDS, COMMITS = "records of the journal", "commits of offsets"
WAIT_SECONDS_MAX = 10


class Kafka:
    """The journal, whose group's offsets are asked for as aiokafka has it."""

    def __init__(self, *records: tuple[bytes, bytes]) -> None:
        self.consumer = Consumer()
        for key, value in records:
            self.consumer.append(TP, value, key=key)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.consumer, name)

    def subscribe(self, topics: list[str], listener: Any) -> None:
        self.consumer.subscribe(topics, listener)

    async def committed(self, tp: TopicPartition) -> int | None:
        return self.consumer.committed_offsets.get(tp)


class Store:
    """A database that cannot be reached for `away` attempts. `missing` are the runs that it does not know as done."""

    def __init__(self, away: int = 0, missing: Sequence[str] = ()) -> None:
        self.away = away
        self.missing = list(missing)
        self.runs: list[Any] = []
        self.suspects: list[object] = []
        self.reached = Progress()

    async def prepare(self) -> None: ...

    async def meet(self, journal: Journal) -> Met:
        return Met(1)

    async def progress(self, journal: int, partitions: Sequence[int]) -> Mapping[int, Progress]:
        return dict.fromkeys(partitions, self.reached)

    async def publish(
        self, rows: StatusRows, journal: int, steps: Sequence[Step], suspects: Sequence[object]
    ) -> Sequence[str] | None:
        self.away -= 1
        if self.away >= 0:
            raise Retryable("connection refused")
        if any(step.before != self.reached for step in steps):
            return None
        for step in steps:
            self.reached = step.after
        self.runs += rows.runs
        self.suspects += suspects
        found, self.missing = self.missing, []
        return found


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("QUIET_SECONDS", "COMMIT_SECONDS", "IDLE_SECONDS"):
        monkeypatch.setattr(projector, name, 0.001)
    monkeypatch.setattr(projector, "PUBLISH_STATUS", RetryPolicy(0.001, 0.001))


@asynccontextmanager
async def running(kafka: Any, store: Any) -> AsyncIterator[Projector]:
    stop = asyncio.Event()
    made = Projector(kafka, SHIPPED, store, JOURNAL, stop)
    task = asyncio.create_task(made.run("projector-1"))
    yield made
    stop.set()
    await task


async def until(made: Projector, is_so: Callable[[dict[str, Any], dict[str, Any]], bool]) -> None:
    """Wait until the condition holds for the waiting numbers and the progress of the probes."""
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        while True:
            probes = await made.probes()
            if is_so({one.name: one.waiting for one in probes}, {one.name: one.progress for one in probes}):
                return
            await asyncio.sleep(0.001)


async def until_published(store: Store, count: int) -> None:
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        while len(store.runs) < count:
            await asyncio.sleep(0.001)


async def test_each_attempt_to_reach_the_database_is_progress() -> None:
    async with running(Kafka(ROW), Store(away=1_000_000)) as made:
        await until(made, lambda waiting, attempts: attempts[RECORDS] > 10 and waiting == {RECORDS: 1, COMMITS: 0})


async def test_a_failed_commit_of_offsets_is_repeated() -> None:
    kafka = Kafka(ROW)
    kafka.consumer.commit_failures = [KafkaError()] * 100_000
    async with running(kafka, Store()) as made:
        await until(made, lambda waiting, _: waiting[COMMITS] == 1)
        kafka.consumer.commit_failures.clear()
        await until(made, lambda waiting, _: waiting[COMMITS] == 0)


async def test_request_logs_in_the_journal_are_no_runs_and_their_offsets_are_committed() -> None:
    kafka, store = Kafka(ROW, LOG), Store()
    async with running(kafka, store) as made:
        await until(made, lambda waiting, progress: progress[COMMITS] >= 1 and waiting[COMMITS] == 0)
    assert (len(store.runs), kafka.consumer.committed_offsets) == (1, {TP: 2})


async def test_it_continues_from_where_the_database_is_whatever_the_group_has_committed() -> None:
    kafka, store = Kafka(ROW, ENTITY), Store()
    store.reached = Progress(1)
    async with running(kafka, store):
        await until_published(store, 1)
    assert [values[1] for values in store.runs] == ["entity-sync"]


async def test_a_database_that_was_restored_is_published_to_again_and_asked_which_runs_lost_rows(
    caplog: pytest.LogCaptureFixture,
) -> None:
    kafka, store = Kafka(ROW, ENTITY), Store(missing=["entity-sync:acme:pco:people.person:full@1"])
    kafka.consumer.committed_offsets[TP] = 2
    async with running(kafka, store):
        await until_published(store, 2)
    assert [
        record.getMessage().partition(":")[0] for record in caplog.records if record.levelno == logging.WARNING
    ] == [
        "the database knows less than was written to it",
        "rows of completed runs are missing in the database until their next full sync",
    ]


async def test_a_database_that_loses_commits_while_it_runs_is_published_to_again() -> None:
    kafka, store = Kafka(ROW), Store()
    async with running(kafka, store):
        await until_published(store, 1)
        store.reached, store.runs = Progress(), []
        await until_published(store, 1)


async def test_kafka_says_how_far_the_database_had_been_until_it_is_there_again() -> None:
    kafka, store = Kafka(ROW, ENTITY), Store(away=1_000_000)
    kafka.consumer.committed_offsets[TP] = 2
    async with running(kafka, store) as made:
        await until(made, lambda waiting, attempts: attempts[RECORDS] > 10)
    assert kafka.consumer.committed_offsets == {TP: 2}
