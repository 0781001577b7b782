"""A start on real Kafka, written by a stock client, becomes rows in a real database."""

import json
from pathlib import Path

import asyncpg
import pytest

from manifests.entity import table_name
from manifests.graph import plan
from manifests.loader import load_packaged
from tests.support.installation import installation
from tests.support.kafka import LiveBroker
from topics.kinds.sync import StartSync

pytestmark = pytest.mark.kafka

ORGS = ("--org", "acme", "--no-rate-limit", "--people", "150")
BARE = {"org": "acme", "adapter": "pco", "type": "full"}

MALFORMED: dict[str, bytes | None] = {
    "no JSON": b"start acme please",
    "empty": b"",
    "a tombstone": None,
    "a name that is none": json.dumps({**BARE, "org": "a:b"}).encode(),
    "an unknown field": json.dumps({**BARE, "on_conflct": "queue"}).encode(),
    "an unknown policy": json.dumps({**BARE, "on_conflict": "panic"}).encode(),
    "an unknown adapter": json.dumps({**BARE, "adapter": "nobody"}).encode(),
    "a type that is not served": json.dumps({**BARE, "type": "sideways"}).encode(),
    "too long": json.dumps({**BARE, "request_id": "x" * 70_000}).encode(),
}


async def test_bare_json_becomes_every_row_and_none_before_what_it_needs(
    broker: LiveBroker, tmp_path: Path, postgres_dsn: str
) -> None:
    async with installation(broker, tmp_path, postgres_dsn, *ORGS) as made:
        await made.produce("start-sync", json.dumps(BARE).encode())
        await made.complete("acme")
    assert await rows_before_their_parents(postgres_dsn) == []


async def test_malformed_messages_become_dead_letters_with_a_reason_and_the_partition_continues(
    broker: LiveBroker, tmp_path: Path
) -> None:
    async with installation(broker, tmp_path, None, *ORGS) as made:
        key = StartSync.model_validate(BARE).key.encode()  # one key, one partition: the good one stands behind them
        await made.produce("start-sync", *MALFORMED.values(), json.dumps(BARE).encode(), key=key)
        await made.complete("acme")
        letters = await made.dead_letters()
        assert len(letters) == len(MALFORMED)
        assert all(letter.reason for letter in letters)


async def rows_before_their_parents(dsn: str) -> list[str]:
    """Entities with a row from before one that they need was complete."""
    early = []
    database = await asyncpg.connect(dsn)
    try:
        done = await database.fetch("select entity, closed_at from sluice_runs where state = 'done'")
        closed = {row["entity"]: row["closed_at"] for row in done}
        for name, needs in plan(load_packaged().adapter("pco")).items():
            first = await database.fetchval(f'select min(fetched_at) from "{table_name("pco", name)}"')
            early += [f"{name} before {parent}" for parent in needs.hard if first and first < closed[parent]]
    finally:
        await database.close()
    return early
