"""One entity of 20,000 pages: is the end of a long run as fast, and as small, as its beginning?"""

import asyncio
import statistics
from collections.abc import Sequence
from itertools import pairwise

import msgspec

from agents.kinds import SHIPPED
from tables.kinds.entity import EntityState
from tests.bench.accounts import Commits, read_commits
from tests.bench.engine import TABLES, Engine
from tests.bench.environment import Environment
from tests.bench.floor import TABLE, Floor
from tests.bench.parts import resident_mb
from tests.bench.shapes import Shape
from topics.kinds import entity

SHAPE = Shape("flat", workflows=1, pages=20_000, concurrency=1)
SKIPPED_PAGES = 200  # the first lease knows nothing of the source yet; its start is not what is measured
PARTS = 20
PART_PAGES = (SHAPE.pages - SKIPPED_PAGES) // PARTS
POLL_SECONDS = 0.05
SETTLE_SECONDS = 10.0  # a virtual machine may have given free memory back to its host by then


class Flat(msgspec.Struct):
    """Rates of each part of the run, medians over the rounds; sizes from the last round.

    A part takes less than a second, so its rate moves with the machine's neighbours. `ratio_by_line` is the last part's
    rate to the first one's on the straight line through all parts. The floor in the same rounds shows what the growing
    table costs the database. `record_bytes_*` is the workflow's record at the first page-done, at the last, and the
    largest; `*_mb` the resident memory at both ends.
    """

    pages: int
    rounds: int
    pages_per_s: list[float]
    floor_pages_per_s: list[float]
    ratio_last_to_first: float
    ratio_by_line: float
    floor_ratio_last_to_first: float
    floor_ratio_by_line: float
    record_bytes_first: int
    record_bytes_last: int
    record_bytes_most: int
    worker_mb_first: float
    worker_mb_last: float
    fetcher_mb_first: float
    fetcher_mb_last: float


async def measure_flat(env: Environment, rounds: int) -> Flat:
    dsn = await env.database("flat")
    ours, floors, memory = [], [], {}
    async with Engine(env.home / "flat", env.api, dsn) as engine, Floor(env.api, dsn) as floor:
        for table in (*TABLES, TABLE):
            await engine.db.execute(f"alter table {table} set (autovacuum_enabled = off)")
        for number in range(rounds):
            (org,) = SHAPE.orgs(str(number))
            await env.render([org], SHAPE.page_size)
            await _settle(engine, floor)
            await floor.run(SHAPE, [org])
            floors.append(_rates(await read_commits(engine.db, TABLE, [org], SHAPE.page_size)))
            await _settle(engine, floor)
            await env.forget_requests()
            memory = await _run(env, engine, org)
            ours.append(_rates(await read_commits(engine.db, engine.table(SHAPE), [org], SHAPE.page_size)))
            print(f"  round {number + 1}: sluice {_described(ours[-1])}; floor {_described(floors[-1])}", flush=True)
        sizes = await _record_sizes(engine, org)
    rates, floor_rates = _medians(ours), _medians(floors)
    return Flat(
        pages=SHAPE.pages,
        rounds=rounds,
        pages_per_s=rates,
        floor_pages_per_s=floor_rates,
        ratio_last_to_first=round(rates[-1] / rates[0], 3),
        ratio_by_line=_ratio_by_line(rates),
        floor_ratio_last_to_first=round(floor_rates[-1] / floor_rates[0], 3),
        floor_ratio_by_line=_ratio_by_line(floor_rates),
        record_bytes_first=sizes[0],
        record_bytes_last=sizes[-1],
        record_bytes_most=max(sizes),
        **memory,
    )


async def _settle(engine: Engine, floor: Floor) -> None:
    """No checkpoint is due within the next run, and no part of it should find memory still warm from the last one.

    Autovacuum, which is off, would come once a minute, and as often to the same part.
    """
    await floor.clear()
    await engine.clear()
    await engine.db.execute("checkpoint")
    await asyncio.sleep(SETTLE_SECONDS)


async def _run(env: Environment, engine: Engine, org: str) -> dict[str, float]:
    """Until the run has ended; the memory of worker and fetcher at both ends."""
    running = asyncio.create_task(engine.run(SHAPE, [org]))
    while not running.done() and len(await env.read_requests()) < SKIPPED_PAGES + PART_PAGES:
        await asyncio.sleep(POLL_SECONDS)
    found = {f"{name}_mb_first": resident_mb(engine.parts[name]) for name in ("worker", "fetcher")}
    await running
    return found | {f"{name}_mb_last": resident_mb(engine.parts[name]) for name in ("worker", "fetcher")}


def _rates(commits: Commits) -> list[float]:
    """Pages per second of each part."""
    at = sorted(commits.values())
    assert len(at) == SHAPE.pages, f"{len(at)} pages stored of {SHAPE.pages}"
    ends = at[SKIPPED_PAGES - 1 :: PART_PAGES]
    return [PART_PAGES / (end - begin) for begin, end in pairwise(ends)]


def _medians(rounds: Sequence[Sequence[float]]) -> list[float]:
    return [round(statistics.median(part), 1) for part in zip(*rounds, strict=True)]


def _ratio_by_line(rates: Sequence[float]) -> float:
    slope, first = statistics.linear_regression(range(len(rates)), rates)
    return round((first + slope * (len(rates) - 1)) / first, 3)


def _described(rates: Sequence[float]) -> str:
    return f"first {rates[0]:,.0f} pages/s, last {rates[-1]:,.0f}, by line {_ratio_by_line(rates)}"


async def _record_sizes(engine: Engine, org: str) -> list[int]:
    """The entity's record after each step in which it was reading."""
    key = entity.KEY.key(org, "bench", "bench.contact", "full").encode()
    values = [one.value for one in await engine.cluster.read_journal() if one.key == key and one.value]
    states = [(len(value), SHIPPED.read_row(value).state) for value in values]
    sizes = [size for size, state in states if isinstance(state, EntityState) and state.leases and state.units]
    assert sizes, f"the journal has {len(values)} records of the entity, and none in which it is reading"
    return sizes
