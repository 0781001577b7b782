"""What a worker's watchdog sees: records to decide on, and what was decided and is not committed."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from agents.core.batch import Batch, Out
from agents.core.outbox import Outbox
from agents.faust.app import StrictApp
from agents.faust.watchdog import worker_probes
from tests.engine.broker import LogRecord
from tests.support.consumer import Consumer

TP = TopicPartition("page-done", 0)


class WorkersConsumer(Consumer):
    """Offset 3 is the next to commit, 2 is committed."""

    consumer_stopped_errors = ()

    def __init__(self, end: int = 0) -> None:
        super().__init__()
        self.append(TP, *[b"result"] * end)
        self.handled = {TP: 3}
        self._committed_offset = {TP: 2}
        self._thread = SimpleNamespace(thread_loop=asyncio.get_running_loop(), _ensure_consumer=lambda: self)


def worker(consumer: WorkersConsumer, **more: object) -> Any:
    """As much of a worker as its watchdog looks at: it has decided up to offset 3."""
    recovery = SimpleNamespace(in_recovery=False, active_offsets={TP: 7, TopicPartition("a", 1): None})
    settings = {"rebalancing": False, "rebalancing_count": 1, "next_offset": {TP: 3}, "decided": {}, **more}
    return SimpleNamespace(consumer=consumer, tables=SimpleNamespace(recovery=recovery), **settings)


async def waiting(app: Any) -> dict[str, int | None]:
    return {probe.name: probe.waiting for probe in await worker_probes(app)}


async def test_a_worker_has_to_decide_on_what_it_did_not_and_to_commit_what_it_did() -> None:
    app = worker(WorkersConsumer(end=9))
    assert await waiting(app) == {"records of page-done/0": 6, "commit of page-done/0": 1}
    assert [probe.progress for probe in await worker_probes(app)] == [3, 2]


async def test_what_a_worker_cannot_publish_waits_for_its_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_go, consumer = asyncio.Event(), WorkersConsumer(end=5)

    async def send(*batch: object) -> None:
        await may_go.wait()

    app = StrictApp("probed", broker="kafka://127.0.0.1:1", store="rocksdb://", datadir=tmp_path, web_enabled=False)
    monkeypatch.setattr(app.deliveries, "send", send)
    table: Any = object()
    batch = Batch(table, TP, [LogRecord(TP.topic, TP.partition, 4, 0, b"key", b"value", ())], epoch=1)
    batch.emit("fetch-page", 0, Out(b"key", b"value"))
    app._outboxes[table] = Outbox()
    app._outboxes[table].add(batch)
    publishing = asyncio.create_task(app.publish(consumer))
    await asyncio.sleep(0)
    assert (await waiting(worker(consumer, next_offset={TP: 5}, decided=app.decided)))["commit of page-done/0"] == 3
    may_go.set()
    await publishing
    assert (app.decided, consumer.handled) == ({}, {TP: 5})


async def test_a_worker_whose_broker_is_away_does_not_know_what_waits() -> None:
    consumer = WorkersConsumer(end=9)
    consumer.read_failure = KafkaError()
    assert (await waiting(worker(consumer)))["records of page-done/0"] is None


async def test_a_worker_that_rebalances_must_make_progress_with_its_table() -> None:
    (probe,) = await worker_probes(worker(WorkersConsumer(), rebalancing=True))
    assert (probe.name, probe.waiting, probe.progress) == ("the table's restore", 1, (1, 7))
