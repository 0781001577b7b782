"""Messages of other programs that nobody can handle, in every topic that others may write to: one dead letter each."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from aiokafka import AIOKafkaProducer

from service.kafka.client import client_arguments
from tests.support.installation import Installation, installation
from tests.support.kafka import LiveBroker
from topics.codec import encode
from topics.kinds.sync import StartSync
from topics.partitions import partitioner

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(200)]

ORG = "acme"
START = StartSync(org=ORG, adapter="pco", type="full", request_id="behind-the-others")
MESSAGE_BYTES_MAX = 1_048_450  # of a key, so that Kafka takes the record by its own default limit
BATCH_BYTES_MAX = 1_100_000


class Message(NamedTuple):
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()


OTHERS = (
    Message(b"k" * MESSAGE_BYTES_MAX, b"{}"),
    Message(b"k", b"v" * MESSAGE_BYTES_MAX),
    Message(b"k", b"{}", [("long", b"h" * MESSAGE_BYTES_MAX)]),
    Message(b"k", b"{}", [(f"header-{number}", b"x" * 80) for number in range(10_000)]),
    Message(b"k", b"{}", [("sluice-id", None), ("sluice-schema", None), ("traceparent", None)]),
    Message(b"\xff\xfe", b"\xff\xfe\x00", [("", b"\xff"), ("\0", b"")]),
    Message(b"", b""),
    Message(None, None, [("only", b"a header")]),
)


async def send(made: Installation, topic: str, partition: int, messages: Sequence[Message]) -> None:
    """Each in a batch of its own, by a client with higher limits than ours."""
    client: dict[str, Any] = {**client_arguments(made.settings), "max_batch_size": BATCH_BYTES_MAX}
    async with AIOKafkaProducer(**client, max_request_size=BATCH_BYTES_MAX) as producer:
        for message in messages:
            batch = producer.create_batch()
            batch.append(key=message.key, value=message.value, timestamp=None, headers=list(message.headers))
            batch.close()
            await (await producer.send_batch(batch, topic, partition=partition))


async def test_whatever_comes_in_is_one_dead_letter_and_the_sync_behind_it_runs(
    broker: LiveBroker, tmp_path: Path
) -> None:
    async with installation(broker, tmp_path, None, "--org", ORG, "--people", "30", "--no-rate-limit") as made:
        partition = partitioner(made.settings.partitions)(START.key)
        for topic in ("fetch-page", "start-sync"):
            await send(made, topic, partition, OTHERS)
        await send(made, START.topic, partition, [Message(START.key.encode(), encode(START))])
        async with asyncio.timeout(90):
            await made.complete(ORG)
        letters = await made.dead_letters()
        assert [(letter.topic, letter.offset) for letter in letters] == [
            (topic, offset) for topic in ("fetch-page", "start-sync") for offset in range(len(OTHERS))
        ]
        assert [process.poll() for process in made.processes.values()] == [None] * len(made.processes)
        whole = [(letter.key, letter.value, letter.headers) for letter in letters if not letter.cut]
        assert whole == [(one.key, one.value, tuple(one.headers)) for one in OTHERS[4:]] * 2
