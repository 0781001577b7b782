"""Comparison of the database with its source, row by row, by the simulator's counts and hashes."""

import hashlib
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass

import msgspec

from manifests.entity import Entity, table_name
from service.clock import SystemClock
from service.sinks import open_sink

COMPARED = ("id", "type", "attributes", "relationships")


@dataclass(frozen=True, slots=True)
class Comparison:
    """One entity of one organisation: the rows of the source and those of the database."""

    org: str
    entity: str
    expected: int
    stored: int
    is_equal: bool


def included(entities: Mapping[str, Entity]) -> str:
    """What the entities' pages are requested with, as GET /_sim/expected takes it."""
    includes = {name: entity.reads.full.query.get("include") for name, entity in entities.items()}
    return ";".join(f"{name}:{include}" for name, include in includes.items() if include)


async def compare(
    url: str, org: str, adapter: str, expected: Mapping[str, Mapping[str, object]], entities: Iterable[str]
) -> list[Comparison]:
    """`expected` is `entities` of GET /_sim/expected: rows and sha256 for each."""
    found = []
    sink = open_sink(url, SystemClock())
    try:
        for entity in sorted(entities):
            count, digest = await _digest(sink.records(table_name(adapter, entity), org))
            source = expected[entity]
            rows = int(str(source["rows"]))
            found.append(Comparison(org, entity, rows, count, count == rows and digest == source["sha256"]))
    finally:
        await sink.close()
    return found


async def _digest(records: AsyncIterator[tuple[str, str]]) -> tuple[int, str]:
    """The count, and the hash that the simulator defines (see its module `expected`)."""
    digest, count = hashlib.sha256(), 0
    async for key, raw in records:
        record = msgspec.json.decode(raw)
        compared = {name: record[name] for name in COMPARED if name in record}
        if "relationships" in compared:  # their links name the host
            compared["relationships"] = {name: {"data": one["data"]} for name, one in compared["relationships"].items()}
        digest.update(key.encode() + b"\n" + msgspec.json.encode(compared, order="deterministic") + b"\n")
        count += 1
    return count, digest.hexdigest()
