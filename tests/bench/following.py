"""What it costs to follow a source: a delta of few changes in a small and in a large table, and a reconciliation beside
a full sync of the same table.
"""

import asyncio
import statistics
import time
from datetime import UTC, datetime, timedelta

import asyncpg
import msgspec

from tests.bench.cluster import Cluster
from tests.bench.engine import ALL
from tests.bench.environment import Environment
from tests.bench.parts import forget_peaks, peak_mb
from topics.kinds.sync import DELTA, FULL, RECONCILIATION, StartSync

SMALL, LARGE = "r10000-small", "r1000000-large"
COMPARED, FEW = "r200000-compared", "r20000-few"
CHANGES = 100
PAGE = 100
DELTAS = 5  # of each table in a round
SECONDS_MAX = 900.0
POLL_SECONDS = 0.05
_ENDED = """
select status, extract(epoch from ended_at - started_at)::float8, pages from sluice_sync_runs
where request = $1 and ended_at is not null
"""


class Following(msgspec.Struct):
    """Medians. `growth`: the time of a delta in the large table to that in the small one. `ratio`: the pages/s of a
    reconciliation to those of a full sync, both of rows that are there and have not changed. Memory: the fetcher's."""

    delta_small_s: float
    delta_large_s: float
    growth: float
    delta_requests: int
    delta_pages: int
    full_pages_per_s: float
    reconciliation_pages_per_s: float
    ratio: float
    memory_mb: float
    memory_of_a_tenth_mb: float


class Follower:
    """Runs syncs one after the other, as their published runs say."""

    def __init__(self, env: Environment, cluster: Cluster, db: "asyncpg.Connection[asyncpg.Record]") -> None:
        self._env, self._cluster, self._db = env, cluster, db
        self._sent = 0

    async def sync(self, org: str, type_: str) -> tuple[float, int]:
        """Seconds and pages."""
        self._sent += 1
        start = StartSync(org=org, adapter="moving", type=type_, request_id=f"no-{self._sent}")
        await self._cluster.send([start])
        async with asyncio.timeout(SECONDS_MAX):
            while (ended := await self._ended(str(start.request_id))) is None:
                await asyncio.sleep(POLL_SECONDS)
        status, seconds, pages = ended
        assert status == "done", "a run did not end well"
        return seconds, pages

    async def delta(self, org: str) -> tuple[float, int, int]:
        """Of changes that are younger than everything before: seconds, pages, requests."""
        at = (datetime.now(UTC) + timedelta(seconds=self._sent)).strftime("%Y-%m-%dT%H:%M:%SZ")
        await self._env.change(org, CHANGES, at)
        await self._env.forget_requests()
        seconds, pages = await self.sync(org, DELTA)
        requests = await self._env.read_requests()
        changed = await self._db.fetchval("select count(*) from moving_moving_member where source = 'delta'")
        assert changed, "the delta has stored nothing"
        return seconds, pages, len(requests)

    async def _ended(self, request: str) -> tuple[str, float, int] | None:
        try:
            found = await self._db.fetchrow(_ENDED, request)
        except asyncpg.UndefinedTableError:
            return None
        return None if found is None else (found[0], found[1], found[2])


async def measure_following(env: Environment, rounds: int) -> Following:
    dsn = await env.database("following")
    async with Cluster(env.home / "following", env.api, dsn, ALL) as cluster:
        db = await asyncpg.connect(dsn)
        try:
            return await _measured(env, cluster, Follower(env, cluster, db), rounds)
        finally:
            await db.close()


async def _measured(env: Environment, cluster: Cluster, follower: Follower, rounds: int) -> Following:
    for org in (SMALL, LARGE, COMPARED, FEW):
        began = time.perf_counter()
        await follower.sync(org, FULL)
        print(f"  {org}: loaded in {time.perf_counter() - began:.0f} s", flush=True)
    small, large = [], []
    for _ in range(rounds * DELTAS):
        small.append(await follower.delta(SMALL))
        large.append(await follower.delta(LARGE))
        print(f"  seconds of a delta: small {small[-1][0]:.2f}   large {large[-1][0]:.2f}", flush=True)
    full, compared = [], []
    for _ in range(rounds):
        full.append(_rate(await follower.sync(COMPARED, FULL)))
        compared.append(_rate(await follower.sync(COMPARED, RECONCILIATION)))
        print(f"  pages/s: full {full[-1]:,.0f}   reconciliation {compared[-1]:,.0f}", flush=True)
    few, many = [await _memory(cluster, follower, org) for org in (FEW, COMPARED)]
    delta_small, delta_large = (statistics.median(seconds for seconds, *_ in found) for found in (small, large))
    return Following(
        delta_small_s=round(delta_small, 3),
        delta_large_s=round(delta_large, 3),
        growth=round(delta_large / delta_small, 2),
        delta_requests=max(requests for *_, requests in large),
        delta_pages=max(pages for _, pages, _ in large),
        full_pages_per_s=round(statistics.median(full), 1),
        reconciliation_pages_per_s=round(statistics.median(compared), 1),
        ratio=round(statistics.median(compared) / statistics.median(full), 2),
        memory_mb=many,
        memory_of_a_tenth_mb=few,
    )


def _rate(run: tuple[float, int]) -> float:
    seconds, pages = run
    return pages / seconds


async def _memory(cluster: Cluster, follower: Follower, org: str) -> float:
    forget_peaks(cluster.pids)
    await follower.sync(org, RECONCILIATION)
    return peak_mb(cluster.pids)["fetcher"]
