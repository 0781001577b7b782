"""What a kill -9 costs: of a fetcher and of a worker that come back, and of those that do not.

Eight organisations are read all the time from an API that takes 50 ms for an answer. What happened is read from
the database's commit times, the timestamps of the engine's journal, and the requests to the API.
"""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer

from service.fetcher.consumer import GROUP as FETCHERS
from tests.bench.accounts import by_kill, read_commits, repeated
from tests.bench.cluster import CONCURRENCY
from tests.bench.engine import Engine
from tests.bench.environment import Environment
from tests.bench.shapes import Shape
from topics.catalog import APP_ID, CHANGELOG
from topics.ids import connection_key
from topics.kinds import entity

FLOW = Shape("flow", workflows=8, pages=6_500, concurrency=8)
ORGS = [f"s{FLOW.pages}-flow-{number}" for number in range(FLOW.workflows)]
RESTARTS = 10
FLOW_SECONDS = 5.0  # before the first kill
CALM_SECONDS = 1.5  # between a recovery and the next kill
SETTLED_SECONDS = 0.25  # what the killed process had published has arrived by then, and nothing new can have started
WAIT_SECONDS_MAX = 60.0
POLL_SECONDS = 0.02
_NEXT_COMMIT = """
select extract(epoch from min(pg_xact_commit_timestamp(xmin)))::float8 from sluice_pages
where committed_at > to_timestamp($1) and split_part(run_id, ':', 2) = any($2::text[])
    and pg_xact_commit_timestamp(xmin) > to_timestamp($1)
"""


class Restart(msgspec.Struct):
    """Seconds from the kill on; medians, and the longest.

    `fetcher_restart`: until the next commit of a page. `worker_restart`: until the next record of the journal;
    `pages_meanwhile`: the fewest pages committed in between. `*_takeover`: until that of a partition of the killed
    process, by another one. `committed_fetched_again`: pages that were fetched after their commit.
    `in_flight_fetched_again_most`: the most pages fetched again after one kill that were not committed yet.
    """

    fetcher_restart_s: float
    fetcher_restart_most_s: float
    worker_restart_s: float
    worker_restart_most_s: float
    pages_meanwhile_least: int
    fetcher_takeover_s: float
    fetcher_takeover_most_s: float
    worker_takeover_s: float
    worker_takeover_most_s: float
    restarts: int
    takeovers: int
    pages: int
    committed_fetched_again: int
    in_flight_fetched_again: int
    in_flight_fetched_again_most: int
    in_flight_max: int


async def measure_restart(env: Environment, rounds: int) -> Restart:
    """RESTARTS restarts of each, and a takeover of each per round."""
    dsn = await env.database("restart")
    async with (
        Engine(env.home / "restart", env.api, dsn) as engine,
        engine.cluster.consumer() as journal,
    ):
        await env.forget_requests()
        await engine.begin(FLOW.adapter, ORGS)
        await asyncio.sleep(FLOW_SECONDS)
        trials = Trials(engine, journal)
        fetchers = [await trials.restart("fetcher", trials.next_page) for _ in range(RESTARTS)]
        trials.meanwhile.clear()
        workers = [await trials.restart("worker", trials.next_decision) for _ in range(RESTARTS)]
        meanwhile = min(trials.meanwhile)
        fetchers_taken = await trials.takeovers("fetcher", FETCHERS, _connection, trials.next_page, rounds)
        workers_taken = await trials.takeovers("worker", APP_ID, _workflow, trials.next_decision, rounds)
        await env.hurry()
        await engine.ended(FLOW.adapter, ORGS)
        found = await _fetched_again(env, engine, trials.kills)
    return Restart(
        **_seconds("fetcher_restart", fetchers),
        **_seconds("worker_restart", workers),
        **_seconds("fetcher_takeover", fetchers_taken),
        **_seconds("worker_takeover", workers_taken),
        pages_meanwhile_least=meanwhile,
        restarts=RESTARTS,
        takeovers=rounds,
        pages=FLOW.workflows * FLOW.pages,
        in_flight_max=CONCURRENCY * FLOW.workflows,
        **found,
    )


def _seconds(what: str, found: Sequence[float]) -> dict[str, Any]:
    return {f"{what}_s": round(statistics.median(found), 2), f"{what}_most_s": round(max(found), 2)}


async def _fetched_again(env: Environment, engine: Engine, kills: list[float]) -> dict[str, int]:
    """What was fetched again in all; every row must be there."""
    rows = await engine.db.fetchval(f"select count(*) from {engine.table(FLOW)} where org = any($1::text[])", ORGS)
    assert rows == FLOW.workflows * FLOW.pages * FLOW.page_size, f"{rows} rows"
    commits = await read_commits(engine.db, engine.table(FLOW), ORGS, FLOW.page_size)
    again = repeated([one for one in await env.read_requests() if one.org in ORGS])
    in_flight = [one for one in again if one.at <= commits[one.org, one.page]]
    print(f"  pages in flight fetched again, by kill: {by_kill(in_flight, kills)}", flush=True)
    return {
        "committed_fetched_again": len(again) - len(in_flight),
        "in_flight_fetched_again": len(in_flight),
        "in_flight_fetched_again_most": max(by_kill(in_flight, kills)),
    }


class Trials:
    """Kills, and when work continued. `kills` are their times (Unix seconds), `meanwhile` the pages until then."""

    def __init__(self, engine: Engine, journal: AIOKafkaConsumer) -> None:
        self.kills: list[float] = []
        self.meanwhile: list[int] = []
        self._engine = engine
        self._cluster = engine.cluster
        self._journal = journal

    async def restart(self, name: str, continues: "Continues") -> float:
        """Kill it and start it again at once; seconds until it continues."""
        await self._follow_journal()
        killed = self._kill(name)
        self._cluster.launch(name)
        return await self._recovered(name, killed, continues(killed, ORGS))

    async def takeovers(
        self, role: str, group: str, key: Callable[[str], str], continues: "Continues", times: int
    ) -> list[float]:
        """With a second process of the role, kill the one that has more to do; seconds until the other has taken over.

        The killed one is started again after that.
        """
        await self._cluster.start(f"{role}-2", role)
        found = []
        for _ in range(times):
            held = await self._assigned(group)
            name, orgs = max(self._orgs_of(held, key).items(), key=lambda one: len(one[1]))
            await self._follow_journal()
            killed = self._kill(name)
            found.append(await self._recovered(f"{name}, taken over", killed, continues(killed, orgs)))
            self._cluster.launch(name)
        await self._assigned(group)
        return found

    async def next_page(self, killed: float, orgs: Collection[str]) -> float:
        """When the first page of these organisations was committed after it."""
        while (at := await self._engine.db.fetchval(_NEXT_COMMIT, killed + SETTLED_SECONDS, list(orgs))) is None:
            await asyncio.sleep(POLL_SECONDS)
        return float(at)

    async def next_decision(self, killed: float, orgs: Collection[str]) -> float:
        """When the journal got its first record of these organisations' entities after it."""
        keys = {_workflow(org).encode() for org in orgs}
        while True:
            fetched = await self._journal.getmany(timeout_ms=int(POLL_SECONDS * 1000))
            times = [one.timestamp / 1000 for records in fetched.values() for one in records if one.key in keys]
            later: list[float] = [at for at in times if at > killed + SETTLED_SECONDS]
            if later:
                return min(later)

    async def _recovered(self, what: str, killed: float, continuing: Awaitable[float]) -> float:
        try:
            async with asyncio.timeout(WAIT_SECONDS_MAX):
                at = await continuing
        except TimeoutError:
            raise AssertionError(f"{what}: nothing continued within {WAIT_SECONDS_MAX:.0f} s of the kill") from None
        pages = await self._engine.db.fetchval(
            "select count(*) from sluice_pages where committed_at between to_timestamp($1) and to_timestamp($2)",
            *(killed, at),
        )
        self.meanwhile.append(pages)
        print(f"  {what}: {at - killed:.2f} s, {pages} pages meanwhile", flush=True)
        await asyncio.sleep(CALM_SECONDS)
        return at - killed

    def _kill(self, name: str) -> float:
        self._cluster.kill(name)
        self.kills.append(time.time())
        return self.kills[-1]

    async def _follow_journal(self) -> None:
        """Read what the journal gets from now on."""
        tps = self._cluster.partitions(CHANGELOG)
        self._journal.assign(tps)
        await self._journal.seek_to_end(*tps)

    async def _assigned(self, group: str) -> Mapping[str, set[int]]:
        """The partitions of both members, once both have some."""
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            while True:
                held = await self._cluster.assigned(group)
                if len(held) == 2 and all(held.values()):
                    await asyncio.sleep(CALM_SECONDS)
                    return held
                await asyncio.sleep(POLL_SECONDS)

    def _orgs_of(self, held: Mapping[str, set[int]], key: Callable[[str], str]) -> dict[str, list[str]]:
        where = {org: self._cluster.partition_of(key(org)) for org in ORGS}
        return {name: [org for org in ORGS if where[org] in partitions] for name, partitions in held.items()}


Continues = Callable[[float, Collection[str]], Awaitable[float]]


def _connection(org: str) -> str:
    return connection_key(org, FLOW.adapter)


def _workflow(org: str) -> str:
    return entity.KEY.key(org, FLOW.adapter, f"{FLOW.adapter}.contact", "full")
