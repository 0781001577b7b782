"""The projector and its probes, on a journal in memory."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from agents.core.retry import RetryPolicy
from agents.kinds import SHIPPED
from service.status import projector
from service.status.projector import Projector
from tables.requests import log_key
from tests.support.consumer import Consumer
from topics.catalog import CHANGELOG
from topics.errors import Retryable

TP = TopicPartition(CHANGELOG, 0)
GOLDEN = Path(__file__).resolve().parents[3] / "golden"
ROW = b"main-sync:acme:pco:full", (GOLDEN / "rows" / "sync-2.bin").read_bytes()
LOG = log_key("main-sync:acme:pco:full", 3), (GOLDEN / "requests" / "request-log-1.bin").read_bytes()
RECORDS, COMMITS = "records of the journal", "commits of offsets"
WAIT_SECONDS_MAX = 10


def journal_of(*records: tuple[bytes, bytes]) -> Consumer:
    journal = Consumer()
    for key, value in records:
        journal.append(TP, value, key=key)
    return journal


class Store:
    """A database that cannot be reached for `away` attempts."""

    def __init__(self, away: int = 0) -> None:
        self.away = away
        self.runs: list[Any] = []

    async def prepare(self) -> None: ...

    async def publish(self, rows: Any) -> None:
        self.away -= 1
        if self.away >= 0:
            raise Retryable("connection refused")
        self.runs += rows.runs


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("QUIET_SECONDS", "COMMIT_SECONDS"):
        monkeypatch.setattr(projector, name, 0.001)
    monkeypatch.setattr(projector, "PUBLISH_STATUS", RetryPolicy(0.001, 0.001))


@asynccontextmanager
async def running(journal: Any, store: Any) -> AsyncIterator[Projector]:
    stop = asyncio.Event()
    made = Projector(journal, SHIPPED, store, stop)
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


async def test_each_attempt_to_reach_the_database_is_progress() -> None:
    async with running(journal_of(ROW), Store(away=1_000_000)) as made:
        await until(made, lambda waiting, attempts: attempts[RECORDS] > 10 and waiting == {RECORDS: 1, COMMITS: 0})


async def test_a_failed_commit_of_offsets_is_repeated() -> None:
    journal = journal_of(ROW)
    journal.commit_failures = [KafkaError()] * 100_000
    async with running(journal, Store()) as made:
        await until(made, lambda waiting, _: waiting[COMMITS] == 1)
        journal.commit_failures.clear()
        await until(made, lambda waiting, _: waiting[COMMITS] == 0)


async def test_request_logs_in_the_journal_are_no_runs_and_their_offsets_are_committed() -> None:
    store = Store()
    async with running(journal_of(ROW, LOG), store) as made:
        await until(made, lambda waiting, progress: progress[COMMITS] == 1)
    assert len(store.runs) == 1
