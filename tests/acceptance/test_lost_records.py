"""Records that leave Kafka before they are read, logs that are created anew: said once, asked for again, continued."""

import asyncio
import json
import re
import signal
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from service.kafka.client import client_arguments
from tests.acceptance.test_crashes import served
from tests.support.installation import Installation, installation
from tests.support.kafka import LiveBroker, until_created_again
from topics.codec import encode
from topics.command import RetryNow
from topics.ids import connection_key
from topics.kinds.sync import KEY
from topics.partitions import partitioner

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

ORG = "acme"
SMALL = ("--org", ORG, "--people", "60", "--no-rate-limit")
SLOW = (*SMALL, "--latency-ms", "300")
WAIT_SECONDS_MAX = 90
DEADLINE_SECONDS = 60  # before any deadline of a workflow passes
SYNC = KEY.key(ORG, "pco", "full")
CONNECTION = connection_key(ORG, "pco").encode()  # as a key it leads a stock client to the partition of the sync


def start(request: str) -> bytes:
    return json.dumps({"org": ORG, "adapter": "pco", "type": "full", "request_id": request}).encode()


def partition_of(made: Installation) -> int:
    return partitioner(made.settings.partitions)(CONNECTION.decode())


@asynccontextmanager
async def admin(made: Installation) -> AsyncIterator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(**client_arguments(made.settings))
    await client.start()
    try:
        yield client
    finally:
        await client.close()


async def end_of(made: Installation, topic: str) -> int:
    """The next offset in the partition of the organisation."""
    tp = TopicPartition(topic, partition_of(made))
    async with AIOKafkaConsumer(**client_arguments(made.settings)) as consumer:
        end: int = (await consumer.end_offsets([tp]))[tp]
    return end


async def delete_all(made: Installation, topic: str) -> int:
    """Everything in the partition of the organisation, up to the offset that is returned."""
    tp, end = TopicPartition(topic, partition_of(made)), await end_of(made, topic)
    async with admin(made) as client:
        await client.delete_records({tp: RecordsToDelete(before_offset=end)})
    return end


def lost(made: Installation, role: str) -> Sequence[tuple[str, ...]]:
    """What a process said was lost: topic, first and last offset."""
    said = (made.home / f"{role}.log").read_text()
    return re.findall(r"ERROR .* ([a-z-]+)/\d+: records (\d+) to (\d+) \([\d,]+\) left the broker", said)


async def request(made: Installation, name: str) -> None:
    await made.produce("start-sync", start(name), key=CONNECTION)


async def until_done(made: Installation, request: str) -> None:
    def is_done(runs: Sequence[object]) -> bool:
        return any((run.request, run.status) == (request, "done") for run in runs)  # type: ignore[attr-defined]  # any kind's

    await made.until(is_done, f"the run of {request}")
    assert [entity for entity in await made.compared(ORG) if not entity.is_equal] == []


async def test_a_worker_names_what_was_deleted_before_it_read_it_and_stops_or_continues_as_it_is_set(
    broker: LiveBroker, tmp_path: Path
) -> None:
    async with installation(broker, tmp_path, None, *SMALL, lost_records="stop") as made:
        await request(made, "one")
        await until_done(made, "one")
        made.kill("worker")
        for number in ("two", "three"):
            await request(made, number)
        await delete_all(made, "start-sync")
        made.start("worker")
        assert await asyncio.to_thread(made.processes["worker"].wait, WAIT_SECONDS_MAX) == 1
        said = (made.home / "worker.log").read_text()
        assert "records 1 to 2 (2) left the broker" in said
        assert "Requests among them will not run: send them again." in said
        assert "SLUICE_LOST_RECORDS=continue" in said
        made.settings = made.settings.model_copy(update={"lost_records": "continue"})
        made.start("worker")
        await request(made, "four")
        await until_done(made, "four")
        assert lost(made, "worker") == [("start-sync", "1", "2")]
        made.kill("worker")
        made.start("worker")
        await request(made, "five")
        await until_done(made, "five")
        assert lost(made, "worker") == [("start-sync", "1", "2")]


async def test_results_that_are_deleted_under_a_worker_are_asked_for_again_and_no_page_is_fetched_twice(
    broker: LiveBroker, tmp_path: Path
) -> None:
    async with installation(broker, tmp_path, None, *SLOW) as made:
        await request(made, "one")
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            while not lost(made, "worker"):
                worker = made.processes["worker"]
                worker.send_signal(signal.SIGSTOP)
                await asyncio.sleep(2)  # the fetcher reports meanwhile
                await delete_all(made, "page-done")
                worker.send_signal(signal.SIGCONT)
                await asyncio.sleep(1)
        async with asyncio.timeout(DEADLINE_SECONDS):
            await until_done(made, "one")
        assert {topic for topic, *_ in lost(made, "worker")} == {"page-done"}
        assert worker.poll() is None
        assert max(Counter(served(made)).values()) == 1


async def test_a_fetcher_names_commands_that_are_gone_and_does_what_is_asked_for_again(
    broker: LiveBroker, tmp_path: Path
) -> None:
    async with installation(broker, tmp_path, None, *SMALL) as made:
        await request(made, "one")
        await until_done(made, "one")
        made.kill("fetcher")
        read = await end_of(made, "fetch-page")
        await request(made, "two")
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            while await end_of(made, "fetch-page") == read:
                await asyncio.sleep(0.2)
        await asyncio.sleep(1)
        gone = await delete_all(made, "fetch-page")
        made.start("fetcher")
        again = encode(RetryNow(workflow=SYNC, request_id="at once"))  # a deadline would do so after two minutes
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            while not lost(made, "fetcher"):
                await asyncio.sleep(0.2)
        await made.produce(RetryNow.topic, again, key=CONNECTION)
        await until_done(made, "two")
        [(topic, first, last)] = lost(made, "fetcher")
        assert (topic, last) == ("fetch-page", str(gone - 1))
        assert int(first) <= read  # it was killed, perhaps before it had committed all that it had done


async def test_a_topic_that_is_created_again_under_a_worker_holds_new_requests(
    broker: LiveBroker, tmp_path: Path
) -> None:
    async with installation(broker, tmp_path, None, *SMALL) as made:
        for number in ("one", "two"):
            await request(made, number)
            await until_done(made, number)
        async with admin(made) as client:
            await client.delete_topics(["start-sync"])
        await until_created_again(made.settings, made.registry.catalog, "start-sync")
        await request(made, "three")
        await until_done(made, "three")
        assert lost(made, "worker") == []


async def test_a_log_that_lost_its_end_with_a_brokers_disk_holds_new_requests_although_it_is_longer_again(
    broker: LiveBroker, tmp_path: Path
) -> None:
    async with installation(broker, tmp_path, None, *SMALL) as made:
        for number in ("one", "two"):
            await request(made, number)
            await until_done(made, number)
        made.kill("worker")
        await broker.kill()
        [segment] = (broker.home / "data" / f"start-sync-{partition_of(made)}").glob("*.log")
        segment.write_bytes(first_batch(segment.read_bytes()))
        await broker.start()
        assert await end_of(made, "start-sync") == 1
        for number in ("three", "three again", "three and again"):
            await request(made, number)
        made.start("worker")
        await until_done(made, "three")
        assert lost(made, "worker") == []


def first_batch(log: bytes) -> bytes:
    """The first record batch of a log's file: a base offset of 8 bytes, a length of 4, and so many more."""
    return log[: 12 + int.from_bytes(log[8:12])]
