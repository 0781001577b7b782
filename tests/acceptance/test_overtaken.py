"""Records of a process that was cut off, behind the owner's in the real changelog: they count for nobody, and are
overtaken before compaction could keep them."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from agents.kinds import ENTITY, SHIPPED
from service.kafka.client import client_arguments
from tables.changelog import tombstone_headers, under_epoch
from tables.row import Row
from tests.support.installation import Installation, installation
from tests.support.kafka import LiveBroker
from topics.catalog import CHANGELOG

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

QUICKLY = ("--org", "acme", "--no-rate-limit", "--people", "20")
START = b'{"org":"acme","adapter":"pco","type":"full"}'
OLD = 1  # an epoch below every other
UNKNOWN = b"entity-sync:acme:pco:people.unknown:full"


async def changelog(made: Installation) -> Sequence[Any]:
    """Every record, partition by partition."""
    async with AIOKafkaConsumer(**client_arguments(made.settings)) as consumer:
        tps = [TopicPartition(CHANGELOG, number) for number in range(made.settings.partitions)]
        consumer.assign(tps)
        await consumer.seek_to_beginning()
        ends, found = await consumer.end_offsets(tps), list[Any]()
        while [tp for tp in tps if await consumer.position(tp) < ends[tp]]:
            for records in (await consumer.getmany(timeout_ms=500)).values():
                found += records
    return found


async def rows(made: Installation) -> dict[bytes, Row[Any] | None]:
    """The last record of each workflow, whatever its epoch; None is a tombstone."""
    last = {one.key: one.value for one in await changelog(made) if one.key.startswith((b"main-sync", b"entity-sync"))}
    found = {key: value and SHIPPED.read_row(value) for key, value in last.items()}
    return {key: row and msgspec.structs.replace(row, epoch=0) for key, row in found.items()}


async def test_stale_records_and_a_run_that_nobody_knows_are_overtaken_and_never_published(
    broker: LiveBroker, tmp_path: Path
) -> None:
    async with installation(broker, tmp_path, None, *QUICKLY) as made:
        await made.produce("start-sync", START)
        await made.complete("acme")
        records = [one for one in await changelog(made) if one.key.startswith(b"entity-sync") and one.value]
        earlier, other = records[0], records[-1]
        before = await rows(made)
        async with AIOKafkaProducer(**client_arguments(made.settings)) as cut_off:
            stale = under_epoch(earlier.value, OLD)
            invented = stale.replace(earlier.key.split(b":")[3], b"people.unknown")
            for record, key, value, headers in (
                (earlier, earlier.key, stale, ()),
                (other, other.key, None, tombstone_headers(OLD, 1)),
                (other, UNKNOWN, invented, ()),
            ):
                await cut_off.send_and_wait(CHANGELOG, value, key, record.partition, headers=list(headers))
        async with asyncio.timeout(60):
            while await rows(made) != {**before, UNKNOWN: None}:
                await asyncio.sleep(1)
        assert "people.unknown" not in {run.entity for run in await made.runs(ENTITY.name)}
        assert "records of a process that was cut off were overtaken" in (made.home / "worker.log").read_text()
