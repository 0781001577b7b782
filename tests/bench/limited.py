"""An organisation that its API limits beside one that it does not, on the same fetcher.

The limit is Planning Center's: 100 requests in 20 s, counted by the server from a window's first request on.
"""

import asyncio
import statistics
import time

import msgspec

from tests.bench.accounts import windows
from tests.bench.api import LIMIT, PERIOD_SECONDS
from tests.bench.engine import Engine
from tests.bench.environment import Environment
from tests.bench.shapes import Shape

LIMITED_PAGES = 450  # four windows and a half
FREE = Shape("free", workflows=1, pages=3_000, concurrency=1)
ALONE_RUNS = 8  # before, and again after
REFUSED = 429
FINISH_SECONDS_MAX = 180.0


class Limited(msgspec.Struct):
    """`share` is what the limited organisation got of what its limit allows, from the first request of the first window
    to the first of the last. `slowdown` compares runs of another organisation beside it with runs alone: medians."""

    windows: int
    requests: int
    share: float
    refused: int
    alone_pages_per_s: float
    beside_pages_per_s: float
    slowdown: float
    runs_alone: int
    runs_beside: int


async def measure_limited(env: Environment, rounds: int) -> Limited:
    """One round: the limited organisation takes as long as it takes."""
    dsn = await env.database("limited")
    org = f"l{LIMITED_PAGES}-slow"
    async with Engine(env.home / "limited", env.api, dsn) as engine:
        alone = [await _free_run(env, engine, f"before{number}") for number in range(ALONE_RUNS)]
        await env.forget_requests()
        began = asyncio.create_task(engine.run(Shape("slow", 1, LIMITED_PAGES, 1, "limited"), [org]))
        beside: list[float] = []
        while not began.done():
            beside.append(await _free_run(env, engine, f"beside{len(beside)}"))
        await began
        requests = [one for one in await env.read_requests() if one.org == org]
        alone += [await _free_run(env, engine, f"after{number}") for number in range(ALONE_RUNS)]
        rows = await engine.db.fetchval("select count(*) from limited_limited_contact where org = $1", org)
    assert rows == LIMITED_PAGES * FREE.page_size, f"{rows} rows of the limited organisation"
    opened = windows(requests)
    answered = sum(one.status != REFUSED and one.at < opened[-1] for one in requests)
    beside = beside[:-1]  # in the last one the limited organisation may have ended
    return Limited(
        windows=len(opened) - 1,
        requests=len(requests),
        share=round(answered / ((opened[-1] - opened[0]) * LIMIT / PERIOD_SECONDS), 4),
        refused=sum(one.status == REFUSED for one in requests),
        alone_pages_per_s=round(statistics.median(alone), 1),
        beside_pages_per_s=round(statistics.median(beside), 1),
        slowdown=round(1 - statistics.median(beside) / statistics.median(alone), 3),
        runs_alone=len(alone),
        runs_beside=len(beside),
    )


async def _free_run(env: Environment, engine: Engine, name: str) -> float:
    """Pages per second of the organisation that nobody limits."""
    orgs = FREE.orgs(name)
    await env.render(orgs, FREE.page_size)
    began = time.perf_counter()
    await engine.run(FREE, orgs, FINISH_SECONDS_MAX)
    rate = FREE.pages / (time.perf_counter() - began)
    print(f"  {name}: {rate:,.0f} pages/s", flush=True)
    return rate
