"""Reading the simulator: what a complete copy holds, when its records came and went, and which pages were served."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path

import httpx
import msgspec

from tests.checker.layouts import Layout
from tests.checker.values import Expected, Life, Lives, Served

ANSWER_SECONDS_MAX = 60.0


async def read_expected(
    url: str, orgs: Sequence[str], layouts: Mapping[str, Layout]
) -> dict[tuple[str, str], Expected]:
    """Records and their hash by organisation and entity, those included that unfiltered lists hide."""
    expected = {}
    included = ";".join(f"{name}:{layout.include}" for name, layout in layouts.items() if layout.include)
    async with httpx.AsyncClient(base_url=url.rstrip("/"), timeout=ANSWER_SECONDS_MAX) as client:
        for org in orgs:
            answer = await client.get("/_sim/expected", params={"org": org, "hidden": "include", "include": included})
            found = answer.raise_for_status().json()["entities"]
            for entity in layouts:
                expected[org, entity] = Expected(found[entity]["rows"], found[entity]["sha256"])
    return expected


async def read_lives(url: str, orgs: Sequence[str], layouts: Mapping[str, Layout]) -> Lives:
    """Of the entities of which any record came or went: of all others, every record was there throughout."""
    found: dict[tuple[str, str], Mapping[str, Life]] = {}
    async with httpx.AsyncClient(base_url=url.rstrip("/"), timeout=ANSWER_SECONDS_MAX) as client:
        for org, entity in product(orgs, layouts):
            answer = await client.get("/_sim/lives", params={"org": org, "entity": entity})
            records = msgspec.convert(answer.raise_for_status().json()["records"], dict[str, Life])
            if any(life != (None, None) for life in records.values()):
                found[org, entity] = records
    return found


def read_served(journal: Path, layouts: Mapping[str, Layout]) -> Iterator[Served]:
    """Each line is organisation, entity, address and, where the simulator writes it down, when it was requested (Unix
    seconds), with tabs between. A last line without an end was torn off."""
    with journal.open("rb") as lines:
        for line in lines:
            if not line.endswith(b"\n"):
                return
            org, entity, address, *times = line.decode().rstrip("\n").split("\t")
            if entity not in layouts:
                continue
            path, _, query = address.partition("?")
            place = layouts[entity].place(path, query)
            if place is not None:
                yield Served(org, entity, *place, at=float(times[0]) if times else None)
