"""The control plane alone: one worker on a real broker, and a data plane that does nothing (tests.bench.stub).

A decision is a record in the journal: the state of one workflow after one command, with all that follows from it on
its way. Decisions per second are counted from the first start-sync sent to the last record of the journal.
"""

import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer

from agents.core.batch import Record
from agents.kinds import SHIPPED
from tables.kinds.sync import SyncState
from tests.bench.cluster import Cluster
from tests.bench.environment import Environment
from tests.bench.parts import cpu_seconds, forget_peaks, median_of_each, most_of_each, peak_mb, spread
from tests.support.house import ROOT
from topics.catalog import CHANGELOG
from topics.kinds.sync import StartSync

WORKFLOWS = 3_000
LEASES = 20
WARM_WORKFLOWS = 500
WARM_STABLE_SECONDS = 10.0  # nothing new in the journal for so long: the first, small run has ended
WAIT_SECONDS_MAX = 300.0
POLL_SECONDS = 0.1


class Decisions(msgspec.Struct):
    """Medians over the rounds. `workflows` main syncs, each with one entity that reads `leases` leases."""

    workflows: int
    leases: int
    rounds: int
    decisions: int
    decisions_per_s: float
    spread: float
    cpu_ms_per_decision: dict[str, float]
    memory_mb: dict[str, float]


async def measure_decisions(env: Environment, rounds: int) -> Decisions:
    home = env.home / "decisions"
    async with (
        Cluster(home, env.api, "sqlite:///unused", {"worker": "worker"}) as cluster,
        _stub(cluster) as pid,
    ):
        warm, _ = await _run(cluster, "warm", WARM_WORKFLOWS)
        expected = warm // WARM_WORKFLOWS * WORKFLOWS
        rates, cpu, memory, made = [], [], [], 0
        for number in range(rounds):
            parts = {**cluster.pids, "stub": pid}
            forget_peaks(parts)
            before = cpu_seconds(parts)
            made, seconds = await _run(cluster, str(number), WORKFLOWS, expected)
            rates.append(made / seconds)
            cpu.append({name: (spent - before[name]) / made * 1000 for name, spent in cpu_seconds(parts).items()})
            memory.append(peak_mb(parts))
            print(f"  round {number + 1}: {made:,} decisions in {seconds:.2f} s: {rates[-1]:,.0f}/s", flush=True)
    return Decisions(
        workflows=WORKFLOWS,
        leases=LEASES,
        rounds=rounds,
        decisions=made,
        decisions_per_s=round(statistics.median(rates), 1),
        spread=spread(rates),
        cpu_ms_per_decision=median_of_each(cpu, 4),
        memory_mb=most_of_each(memory),
    )


@asynccontextmanager
async def _stub(cluster: Cluster) -> AsyncIterator[int]:
    """The data plane's process id, once it reads."""
    settings = cluster.settings
    arguments = [settings.bootstrap, str(settings.partitions), str(LEASES)]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.stub", *arguments), cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        assert await process.stdout.readline() == b"ready\n", "the data plane did not start"
        yield process.pid
    finally:
        process.terminate()
        await process.wait()


async def _run(cluster: Cluster, name: str, workflows: int, expected: int | None = None) -> tuple[int, float]:
    """Start so many syncs; how many decisions that led to, and in how many seconds.

    Each sync is the same, so that the first run shows how many decisions to expect of the others.
    """
    async with cluster.consumer() as consumer:
        already = await consumer.end_offsets(cluster.partitions(CHANGELOG))
        began = time.time()
        await cluster.send([StartSync(org=f"{name}-{one}", adapter="bench", type="full") for one in range(workflows)])
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            await _until(consumer, already, None if expected is None else expected + workflows)  # a request log each
    journal = [one for one in await cluster.read_journal() if one.offset >= already[one.topic, one.partition]]
    _check(journal, workflows)
    return len(journal), max(record.timestamp for record in journal) / 1000 - began


async def _until(consumer: AIOKafkaConsumer, already: Mapping[Any, int], expected: int | None) -> None:
    """Until the journal has so many records more; None: until it has not grown for a while."""
    grown, since = 0, time.monotonic()
    while grown < expected if expected is not None else time.monotonic() < since + WARM_STABLE_SECONDS:
        await asyncio.sleep(POLL_SECONDS)
        before, grown = grown, sum((await consumer.end_offsets(list(already))).values()) - sum(already.values())
        since = since if grown == before else time.monotonic()


def _check(journal: Sequence[Record], workflows: int) -> None:
    """Every sync must have ended well."""
    last = {record.key: record.value for record in journal if record.value}
    states = [SHIPPED.read_row(value).state for value in last.values()]
    done = [state for state in states if isinstance(state, SyncState) and state.status == "done"]
    assert len(done) == workflows, f"{len(done)} of {workflows} syncs are done"
