"""Pages through the whole pipeline, in turns with the floors and whatever else runs the same step."""

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from tests.bench.accounts import Database, latencies, read_commits
from tests.bench.engine import FLEET, Engine
from tests.bench.environment import Environment
from tests.bench.floor import Fenced, Floor, Plain
from tests.bench.parts import cpu_seconds, forget_peaks, median_of_each, most_of_each, peak_mb, spread
from tests.bench.shapes import Shape


class Contestant(Protocol):
    """Runs a shape. `parts` are its processes by name, those of API and database apart."""

    @property
    def name(self) -> str: ...
    @property
    def parts(self) -> Mapping[str, int]: ...

    async def clear(self) -> None: ...

    async def run(self, shape: Shape, orgs: Sequence[str]) -> None: ...

    def table(self, shape: Shape) -> str:
        """Where the rows go."""
        ...


@dataclass
class Rounds:
    """What one contestant did, a list entry a round; `seconds` are the latencies of all its pages."""

    pages_per_s: list[float] = field(default_factory=list)
    cpu_ms: list[dict[str, float]] = field(default_factory=list)
    memory_mb: list[dict[str, float]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


class Figures(msgspec.Struct):
    """Of one contestant: medians over the rounds, percentiles over all pages.

    A page's latency is from the API's receiving the request to the commit of its rows, by API and database alone.
    `spread` is (highest - lowest) / median of the rounds, `memory_mb` the highest resident memory.
    """

    pages_per_s: float
    spread: float
    p50_ms: float
    p99_ms: float
    cpu_ms_per_page: dict[str, float]
    memory_mb: dict[str, float]


class Measured(Figures):
    """Sluice's figures, the floor's rate, and the figures of all `beside` it; `ratio` is to the floor."""

    shape: str
    pages: int
    rounds: int
    records_per_s: float
    floor_pages_per_s: float
    ratio: float
    beside: dict[str, Figures]
    ratio_to: dict[str, float]


async def measure_pages(env: Environment, shapes: Sequence[Shape], rounds: int) -> dict[str, Measured]:
    """Every shape with the floors that belong to it."""
    dsn = await env.database("pages")
    async with (
        Engine(env.home / "pages", env.api, dsn, FLEET) as engine,
        Floor(env.api, dsn) as floor,
        Fenced(env.api, dsn) as fenced,
        Plain(env.api, dsn) as plain,
    ):
        found = {}
        for shape in shapes:
            floors: list[Contestant] = [floor, fenced, plain] if shape.is_fenced else [floor]
            found[shape.name] = await measure(env, engine.db, [*floors, engine], shape, rounds)
        return found


async def measure(
    env: Environment, db: Database, contestants: Sequence[Contestant], shape: Shape, rounds: int
) -> Measured:
    """In turns; who begins changes from round to round. The floor is the first of the contestants, Sluice the last."""
    print(f"{shape.name}: {shape.workflows:,} workflows of {shape.pages:,} pages", flush=True)
    did = {one.name: Rounds() for one in contestants}
    for number in range(rounds):
        orgs = shape.orgs(str(number))
        await env.render(orgs, shape.page_size)
        for one in contestants if number % 2 == 0 else reversed(contestants):
            await _round(env, db, one, shape, orgs, did[one.name])
        rates = "   ".join(f"{name} {its.pages_per_s[-1]:,.0f}" for name, its in did.items())
        print(f"  round {number + 1}, pages/s: {rates}", flush=True)
    return _measured(shape, rounds, {name: _figures(its) for name, its in did.items()})


async def _round(
    env: Environment, db: Database, one: Contestant, shape: Shape, orgs: Sequence[str], its: Rounds
) -> None:
    pages = shape.workflows * shape.pages
    await one.clear()
    await env.forget_requests()
    parts = {**one.parts, **env.parts}
    forget_peaks(parts)
    before, began = cpu_seconds(parts), time.perf_counter()
    await one.run(shape, orgs)
    its.pages_per_s.append(pages / (time.perf_counter() - began))
    its.cpu_ms.append({name: (spent - before[name]) / pages * 1000 for name, spent in cpu_seconds(parts).items()})
    its.memory_mb.append(peak_mb(parts))
    stored = await db.fetchval(f"select count(*) from {one.table(shape)} where org = any($1::text[])", orgs)
    assert stored == pages * shape.page_size, f"{one.name} stored {stored} rows of {pages * shape.page_size}"
    its.seconds += latencies(await env.read_requests(), await read_commits(db, one.table(shape), orgs, shape.page_size))


def _figures(its: Rounds) -> Figures:
    seconds = sorted(its.seconds)
    return Figures(
        pages_per_s=round(statistics.median(its.pages_per_s), 1),
        spread=spread(its.pages_per_s),
        p50_ms=round(seconds[len(seconds) // 2] * 1000, 2),
        p99_ms=round(seconds[len(seconds) * 99 // 100] * 1000, 2),
        cpu_ms_per_page=median_of_each(its.cpu_ms, 3),
        memory_mb=most_of_each(its.memory_mb),
    )


def _measured(shape: Shape, rounds: int, figures: dict[str, Figures]) -> Measured:
    ours, floor = figures.pop("sluice"), figures["floor"]
    return Measured(
        **msgspec.structs.asdict(ours),
        shape=shape.name,
        pages=shape.workflows * shape.pages,
        rounds=rounds,
        records_per_s=round(ours.pages_per_s * shape.page_size, 1),
        floor_pages_per_s=floor.pages_per_s,
        ratio=round(ours.pages_per_s / floor.pages_per_s, 3),
        beside=figures,
        ratio_to={name: round(ours.pages_per_s / its.pages_per_s, 3) for name, its in figures.items()},
    )
