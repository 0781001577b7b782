"""100,000 runs in the database: how long the questions of the command line take, publishing, and opening runs."""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable

import msgspec

from agents.kinds import SHIPPED, SYNC
from agents.ports import LeaseRequest, RunRef
from service.cli.status import RUNS_SHOWN_MAX
from service.clock import SystemClock
from service.settings import Settings
from service.sinks import open_sink
from service.status import open_status
from service.status.rows import StatusRows, status_rows
from service.status.store import StatusStore
from tables.kinds.entity import EntityState
from tables.kinds.sync import SyncState
from tables.row import Row
from tests.bench.environment import Environment
from tests.support.past import JOURNAL, Past, fill_postgres, fill_sqlite
from tests.support.published import journal_record

ORGS, SYNCS, ENTITIES, EVENTS = 2, 1_000, 49, 10  # 100,000 runs, 1,000 of each workflow; 1,000,000 timeline entries
REPEATS = 20

Call = Callable[[int], Awaitable[object]]  # with the number of the repetition


class History(msgspec.Struct):
    """Medians in ms over rounds and repetitions, by what is asked, in each database."""

    runs: int
    timeline: int
    postgres: dict[str, float]
    sqlite: dict[str, float]


async def measure_history(env: Environment, rounds: int) -> History:
    past = Past(int(time.time() * 1000), ORGS, SYNCS, ENTITIES, EVENTS)
    postgres, file = await env.database("history"), env.home / "history.db"
    for url in (postgres, f"sqlite:///{file}"):
        store = open_status(Settings(sink=url), SystemClock())
        await store.prepare()
        await store.close()
    await fill_postgres(postgres, past)
    await asyncio.to_thread(fill_sqlite, file, past)
    return History(
        runs=past.runs,
        timeline=past.runs * EVENTS,
        postgres=await _measured(postgres, past, rounds),
        sqlite=await _measured(f"sqlite:///{file}", past, rounds),
    )


async def _measured(url: str, past: Past, rounds: int) -> dict[str, float]:
    store, sink = open_status(Settings(sink=url), SystemClock()), open_sink(url, SystemClock())
    calls = _questions(store, past)
    calls["publish the start of a sync"] = lambda number: store.publish(_started(past, number, 1), JOURNAL)
    calls["publish its next state"] = lambda number: store.publish(_started(past, number, 2), JOURNAL)
    calls["open the runs of its entities"] = lambda number: sink.open_leases(_leases(past, number))
    found = {}
    for what, call in calls.items():
        taken = [await _ms(call, number) for number in range(rounds * REPEATS)]
        found[what] = round(statistics.median(taken), 2)
        print(f"  {what}: {found[what]} ms", flush=True)
    await store.close()
    await sink.close()
    return found


def _questions(store: StatusStore, past: Past) -> dict[str, Call]:
    sync = past.sync(ORGS // 2, SYNCS // 2)
    return {
        "the newest runs": lambda number: store.runs(SYNC.name, limit=RUNS_SHOWN_MAX + 1),
        "a run": lambda number: store.runs(SYNC.name, sync.run_id, 1),
        "the newest run of a workflow": lambda number: store.runs(SYNC.name, sync.key, 1),
        "the run of a request": lambda number: store.runs(SYNC.name, sync.request, 1),
        "a run that is not there": lambda number: store.runs(SYNC.name, "nobody", 1),
        "the entities of a run": lambda number: store.children(sync.run_id),
        "a timeline": lambda number: store.timeline(sync.key),
    }


async def _ms(call: Call, number: int) -> float:
    began = time.perf_counter()
    await call(number)
    return (time.perf_counter() - began) * 1000


def _started(past: Past, number: int, seq: int) -> StatusRows:
    """A new sync of an organisation, and all its entities."""
    sync = past.sync(number % ORGS, SYNCS + number)
    states: list[SyncState | EntityState] = [sync, *past.entity_runs(sync)]
    return status_rows(SHIPPED, [journal_record(Row(epoch=1, seq=state.run + seq, state=state)) for state in states])


def _leases(past: Past, number: int) -> list[LeaseRequest]:
    runs = past.entity_runs(past.sync(number % ORGS, SYNCS + number))
    named = (RunRef(one.key, one.run, one.org, one.adapter, one.entity, one.type) for one in runs)
    return [LeaseRequest(run, 1, 1) for run in named]
