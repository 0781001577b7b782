"""One entity of 20,000 pages: is the end of a long run as fast, and as small, as its beginning?"""

import asyncio
import statistics

import msgspec

from tables.catalog import read_row
from tables.entities import EntityState
from tests.bench.commits import Commits, read_commits
from tests.bench.engine import Engine
from tests.bench.floor import TABLE, Floor
from tests.bench.parts import resident_mb
from tests.bench.shapes import Shape
from tests.bench.stage import Stage
from topics.catalog import CHANGELOG
from topics.ids import entity_key

SHAPE = Shape("flat", workflows=1, pages=20_000, concurrency=1)
SKIPPED_PAGES = 200  # the first lease knows nothing of the source yet; some seconds' start is not what is asked
PART_PAGES = 1_000
POLL_SECONDS = 0.05


class Flat(msgspec.Struct):
    """Rates of the first and the last PART_PAGES pages, medians over the rounds; sizes from the last round.

    The floor in the same rounds tells what the growing table costs the database. `record_bytes_*` is the workflow's
    record at the first page-done, at the last, and the largest; `*_mb` the resident memory at both ends.
    """

    pages: int
    rounds: int
    pages_per_s: float
    first_pages_per_s: float
    last_pages_per_s: float
    ratio_last_to_first: float
    floor_ratio_last_to_first: float
    record_bytes_first: int
    record_bytes_last: int
    record_bytes_most: int
    worker_mb_first: float
    worker_mb_last: float
    fetcher_mb_first: float
    fetcher_mb_last: float


async def measure_flat(stage: Stage, rounds: int) -> Flat:
    dsn = await stage.database("flat")
    ours, floors, memory = [], [], {}
    async with Engine(stage.home / "flat", stage.api, dsn) as engine, Floor(stage.api, dsn) as floor:
        for number in range(rounds):
            (org,) = SHAPE.orgs(str(number))
            await stage.render([org], SHAPE.page_size)
            await floor.clear()
            await floor.run(SHAPE, [org])
            floors.append(_rates(await read_commits(engine.db, TABLE, [org], SHAPE.page_size)))
            await engine.clear()
            await stage.forget_asked()
            memory = await _run(stage, engine, org)
            ours.append(_rates(await read_commits(engine.db, engine.table(SHAPE), [org], SHAPE.page_size)))
            print(f"  round {number + 1}: first, last, all pages/s: sluice {ours[-1]}, floor {floors[-1]}", flush=True)
        sizes = await _record_sizes(engine, org)
    first, last, whole = (statistics.median(part) for part in zip(*ours, strict=True))
    return Flat(
        pages=SHAPE.pages,
        rounds=rounds,
        pages_per_s=whole,
        first_pages_per_s=first,
        last_pages_per_s=last,
        ratio_last_to_first=round(last / first, 3),
        floor_ratio_last_to_first=round(
            statistics.median(one[1] for one in floors) / statistics.median(one[0] for one in floors), 3
        ),
        record_bytes_first=sizes[0],
        record_bytes_last=sizes[-1],
        record_bytes_most=max(sizes),
        **memory,
    )


async def _run(stage: Stage, engine: Engine, org: str) -> dict[str, float]:
    """Until the run has ended; the memory of worker and fetcher at both ends."""
    running = asyncio.create_task(engine.run(SHAPE, [org]))
    while not running.done() and len(await stage.read_asked()) < SKIPPED_PAGES + PART_PAGES:
        await asyncio.sleep(POLL_SECONDS)
    found = {f"{name}_mb_first": resident_mb(engine.parts[name]) for name in ("worker", "fetcher")}
    await running
    return found | {f"{name}_mb_last": resident_mb(engine.parts[name]) for name in ("worker", "fetcher")}


def _rates(commits: Commits) -> tuple[float, float, float]:
    """Pages per second of the first part, of the last one, and of all."""
    at = sorted(commits.values())
    assert len(at) == SHAPE.pages, f"{len(at)} pages stored of {SHAPE.pages}"
    first = PART_PAGES / (at[SKIPPED_PAGES + PART_PAGES] - at[SKIPPED_PAGES])
    last = PART_PAGES / (at[-1] - at[-1 - PART_PAGES])
    return round(first, 1), round(last, 1), round(len(at) / (at[-1] - at[0]), 1)


async def _record_sizes(engine: Engine, org: str) -> list[int]:
    """The entity's record after each step in which it was reading."""
    key = entity_key(org, "bench", "bench.contact", "full").encode()
    values = [one.value for one in await engine.cluster.read_all(CHANGELOG) if one.key == key and one.value]
    states = [(len(value), read_row(value).state) for value in values]
    sizes = [size for size, state in states if isinstance(state, EntityState) and state.leases and state.units]
    assert sizes, f"the journal has {len(values)} records of the entity, and none in which it reads on"
    return sizes
