"""100,000 workflows in the table: how long a worker takes to come back, with its store and without it."""

import asyncio
import re
import shutil
import statistics
import time
from collections import defaultdict

import msgspec

from tables.kinds.sync import Child, SyncState
from tables.requests import RequestLog, encode_requests, log_key, slot_of
from tables.row import HistoryEntry, Row, encode_row
from tests.bench.batches import Outs
from tests.bench.cluster import POLL_SECONDS, Cluster
from tests.bench.environment import Environment
from tests.bench.parts import peak_mb, resident_mb
from topics.catalog import CHANGELOG, WORKFLOW_RETENTION_MS
from topics.ids import derive_id

WORKFLOWS = 100_000
WORKFLOWS_PER_SEND = 10_000
ENTITIES = ("people", "households", "emails", "addresses", "phone_numbers")  # of each sync, all done


class Table(msgspec.Struct):
    """Medians over the rounds, from the start of the worker's process until it says that it is ready.

    Each workflow has two records: its own, of `record_bytes`, and its request log. `restore_records_per_s` is over
    `restore_s`, from the first file of the store to ready. `resident_mb` is with the store, `peak_mb` while restoring;
    the most of all rounds.
    """

    workflows: int
    rounds: int
    record_bytes: int
    ready_with_store_s: float
    ready_without_store_s: float
    restore_s: float
    restore_records_per_s: float
    resident_mb: float
    peak_mb: float


async def measure_table(env: Environment, rounds: int) -> Table:
    worker = "worker"
    async with Cluster(env.home / "table", env.api, "sqlite:///unused", {}) as cluster:
        size = await _fill(cluster)
        without, restored, with_store, resident, peak = [], [], [], [], []
        for number in range(rounds):
            seconds, restoring = await _timed_restore(cluster, worker)
            without.append(seconds)
            restored.append(restoring)
            peak.append(peak_mb({worker: cluster.pids[worker]})[worker])
            cluster.kill(worker)
            with_store.append(await _timed_start(cluster, worker))
            resident.append(resident_mb(cluster.pids[worker]))
            cluster.stop(worker)
            print(f"  round {number + 1}: without store {seconds:.2f} s, with {with_store[-1]:.2f} s", flush=True)
    restore = statistics.median(restored)
    return Table(
        workflows=WORKFLOWS,
        rounds=rounds,
        record_bytes=size,
        ready_with_store_s=round(statistics.median(with_store), 2),
        ready_without_store_s=round(statistics.median(without), 2),
        restore_s=round(restore, 2),
        restore_records_per_s=round(2 * WORKFLOWS / restore),
        resident_mb=max(resident),
        peak_mb=max(peak),
    )


async def _timed_restore(cluster: Cluster, worker: str) -> tuple[float, float]:
    """Start without a store: seconds until it is ready, and those of them since the store's first file."""
    store = cluster.settings.home / "tables"
    shutil.rmtree(store, ignore_errors=True)
    starting = asyncio.create_task(_timed_start(cluster, worker))
    while not starting.done() and not any(store.glob("**/CURRENT")):
        await asyncio.sleep(POLL_SECONDS)
    began = time.perf_counter()
    return await starting, time.perf_counter() - began


async def _timed_start(cluster: Cluster, worker: str) -> float:
    began = time.perf_counter()
    await cluster.start(worker, "worker")
    seconds = time.perf_counter() - began
    said = re.search(r"sluice.partitions=(\d+)", cluster.log_of(worker).read_text())
    assert said is not None
    assert int(said[1]) == cluster.settings.partitions, "the worker does not hold every partition"
    return seconds


async def _fill(cluster: Cluster) -> int:
    """The journal of so many ended syncs; the size of a workflow's own record in bytes."""
    now = int(time.time() * 1000)
    size = 0
    for start in range(0, WORKFLOWS, WORKFLOWS_PER_SEND):
        outs: Outs = defaultdict(list)
        for number in range(start, start + WORKFLOWS_PER_SEND):
            state = _ended(f"org-{number}", now)
            partition = cluster.partition_of(state.key)
            log = RequestLog().adding(derive_id(state.key), "start-sync@1", now, epoch=1)
            row = encode_row(_row(state))
            size = len(row)
            outs[CHANGELOG, partition] += [
                (log_key(state.key, slot_of(now)), encode_requests(log)),
                (state.key.encode(), row),
            ]
        await cluster.send_raw(outs)
    return size


def _ended(org: str, now: int) -> SyncState:
    children = {
        f"people.{name}": Child("done", (), (), "", now, now, f"entity-sync:{org}:pco:people.{name}:full@{now}", 9, 900)
        for name in ENTITIES
    }
    return SyncState(org, "pco", "full", now, "request", now, "done", ended_at=now, children=children)


def _row(state: SyncState) -> Row[SyncState]:
    history = tuple(HistoryEntry(seq, state.run, "0" * 32, f"people.{name} done") for seq, name in enumerate(ENTITIES))
    offsets = {"start-sync": 1, "control": 5}
    due = state.ended_at + WORKFLOW_RETENTION_MS
    return Row(epoch=1, seq=6, due=due, due_set_at=state.ended_at, state=state, last_offset=offsets, history=history)
