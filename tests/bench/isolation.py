"""Six organisations beside four whose API is slow, hangs, sends garbage, or answers 429 for an hour, on one fetcher.

Each has the whole catalogue of Planning Center in the simulator. The six are synced alone and beside the four in turns;
the syncs of the four begin a little before those of the six, and are cancelled after them.
"""

import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import asyncpg
import msgspec

from tests.bench.cluster import Cluster
from tests.bench.engine import ALL
from tests.bench.environment import Environment
from tests.support.house import ROOT
from tests.support.kafka import free_port
from topics.command import CancelRun
from topics.kinds.sync import StartSync

GOOD = [f"good-{number}" for number in range(6)]
FAULTS: dict[str, dict[str, Any]] = {
    "slow": {"kind": "slow", "delay_ms": 5_000},
    "hanging": {"kind": "hang"},
    "garbage": {"kind": "html"},
    "refused": {"kind": "rate_limit", "retry_after": 3_600},
}
# The API takes most of the time, so that the machine is not what is measured.
PEOPLE, LATENCY_MS, CONCURRENCY = 100, 500, 8
HEAD_START_SECONDS = 3.0  # of the four
RUN_SECONDS_MAX = 300.0
SIMULATOR_SECONDS_MAX = 20.0
POLL_SECONDS = 0.2
_ENDED = """
select status, extract(epoch from ended_at - started_at)::float8 from sluice_sync_runs
where request = any($1::text[]) and ended_at is not null
"""
_RUNNING = """
select workflow, split_part(run_id, '@', 2) from sluice_sync_runs where org = any($1::text[]) and status = 'running'
"""


class Isolation(msgspec.Struct):
    """Seconds of a sync of one of the six, as its published run says: medians of a round, and of those the median and
    the least over the rounds. `slowdown` compares the least: other work on the machine only ever adds to it."""

    alone_s: float
    beside_s: float
    alone_least_s: float
    beside_least_s: float
    slowdown: float
    rounds: int


async def measure_isolation(env: Environment, rounds: int) -> Isolation:
    dsn = await env.database("isolation")
    async with simulator() as api:
        cluster = Cluster(env.home / "isolation", env.api, dsn, ALL)
        connection = f'{{base_url: "{api}", concurrency: {CONCURRENCY}, auth: {{kind: basic, id: "literal:{{org}}", '
        with cluster.settings.connections.open("a") as connections:
            connections.write(f'"*/pco": {connection}secret: "literal:secret-{{org}}"}}}}\n')
        async with cluster:
            await _post(f"{api}/_sim/faults", [{**fault, "org": org} for org, fault in FAULTS.items()])
            await _round(cluster, dsn, "first")  # later ones find their rows there
            alone, beside = [], []
            for number in range(rounds):
                alone.append(await _round(cluster, dsn, f"alone-{number}"))
                beside.append(await _beside(cluster, dsn, number))
    return Isolation(
        alone_s=round(statistics.median(alone), 2),
        beside_s=round(statistics.median(beside), 2),
        alone_least_s=round(min(alone), 2),
        beside_least_s=round(min(beside), 2),
        slowdown=round(min(beside) / min(alone) - 1, 3),
        rounds=rounds,
    )


async def _beside(cluster: Cluster, dsn: str, number: int) -> float:
    await cluster.send(_starts(FAULTS, f"bad-{number}"))
    await asyncio.sleep(HEAD_START_SECONDS)
    seconds = await _round(cluster, dsn, f"beside-{number}")
    found = await _fetch(dsn, _RUNNING, list(FAULTS))
    assert len(found) == len(FAULTS), "a sync that cannot end has ended"
    await cluster.send([CancelRun(workflow=workflow, run=int(run), reason="measured") for workflow, run in found])
    while await _fetch(dsn, _RUNNING, list(FAULTS)):
        await asyncio.sleep(POLL_SECONDS)
    return seconds


async def _round(cluster: Cluster, dsn: str, name: str) -> float:
    """Seconds that a sync of one of the six took: their median."""
    starts = _starts(GOOD, name)
    began = time.perf_counter()
    await cluster.send(starts)
    seconds = await _ended(dsn, [str(start.request_id) for start in starts])
    print(
        f"  {name}: {min(seconds):.1f} to {max(seconds):.1f} s ({time.perf_counter() - began:.1f} s in all)", flush=True
    )
    return statistics.median(seconds)


def _starts(orgs: Iterable[str], name: str) -> list[StartSync]:
    return [
        StartSync(org=org, adapter="pco", type="full", request_id=f"{org}-{name}", on_conflict="restart")
        for org in orgs
    ]


async def _ended(dsn: str, requests: Sequence[str]) -> list[float]:
    async with asyncio.timeout(RUN_SECONDS_MAX):
        while len(runs := await _fetch(dsn, _ENDED, requests)) < len(requests):
            await asyncio.sleep(POLL_SECONDS)
    assert all(status == "done" for status, _ in runs), "a run did not end well"
    return [seconds for _, seconds in runs]


async def _fetch(dsn: str, query: str, names: Sequence[str]) -> list[Any]:
    connection = await asyncpg.connect(dsn)
    try:
        return list(await connection.fetch(query, names))
    except asyncpg.UndefinedTableError:
        return []
    finally:
        await connection.close()


@asynccontextmanager
async def simulator() -> AsyncIterator[str]:
    """The address of Planning Center for all ten."""
    port = free_port()
    orgs = [part for org in (*GOOD, *FAULTS) for part in ("--org", org)]
    sizes = ("--port", str(port), "--people", str(PEOPLE), "--latency-ms", str(LATENCY_MS), "--no-rate-limit")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "service", "simulate", "pco", *sizes, *orgs, cwd=ROOT, stdout=subprocess.DEVNULL
    )
    try:
        address = f"http://127.0.0.1:{port}"
        async with asyncio.timeout(SIMULATOR_SECONDS_MAX):
            while not await _answers(address):
                await asyncio.sleep(POLL_SECONDS)
        yield address
    finally:
        process.terminate()
        await process.wait()


async def _answers(address: str) -> bool:
    try:
        async with aiohttp.ClientSession() as http, http.get(f"{address}/_sim/counters"):
            return True
    except aiohttp.ClientConnectionError:
        return False


async def _post(url: str, bodies: Sequence[dict[str, Any]]) -> None:
    async with aiohttp.ClientSession() as http:
        for body in bodies:
            async with http.post(url, json=body) as answer:
                answer.raise_for_status()
