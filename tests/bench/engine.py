"""The engine under measurement: worker, fetcher and projector as processes of their own on the embedded broker."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import asyncpg

from tests.bench.cluster import POLL_SECONDS, Cluster
from tests.bench.shapes import Shape
from topics.kinds.sync import FULL, StartSync

WARM_SECONDS_MAX = 60.0
WARM_WORKFLOWS, WARM_PAGES = 2_000, 1
RUN_SECONDS_MAX = 600.0
POOL = 2  # two runs may be waited for at the same time
ALL = {"worker": "worker", "fetcher": "fetcher", "projector": "projector"}
FLEET = ALL | {"fetcher-2": "fetcher"}  # as many as there are cores: one of them cannot keep two busy
TABLES = ("bench_bench_contact", "bulk_bulk_contact", "limited_limited_contact")
_STATUS = "select workflow, status from sluice_sync_runs where status <> 'running' and workflow"
_OF_ONE, _OF_MANY = f"{_STATUS} = $1", f"{_STATUS} = any($1::text[])"


class Engine:
    """Runs shapes through Kafka and waits until the published status says that all have ended."""

    name = "sluice"

    def __init__(self, home: Path, api: str, dsn: str, roles: Mapping[str, str] = ALL) -> None:
        self.cluster = Cluster(home, api, dsn, roles)
        self._dsn = dsn

    async def __aenter__(self) -> Self:
        await self.cluster.__aenter__()
        self.db = await asyncpg.create_pool(self._dsn, min_size=1, max_size=POOL)
        for adapter in ("bench", "bulk"):
            shape = Shape("warm", WARM_WORKFLOWS, WARM_PAGES, WARM_WORKFLOWS, adapter)
            await self.run(shape, shape.orgs("warm"), WARM_SECONDS_MAX)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.db.close()
        await self.cluster.__aexit__(None, None, None)

    async def clear(self) -> None:
        await self.db.execute(f"truncate {', '.join(TABLES)}")

    @property
    def parts(self) -> dict[str, int]:
        return self.cluster.pids

    async def run(self, shape: Shape, orgs: Sequence[str], seconds_max: float = RUN_SECONDS_MAX) -> None:
        await self.begin(shape.adapter, orgs)
        await self.ended(shape.adapter, orgs, seconds_max)

    async def begin(self, adapter: str, orgs: Sequence[str], type_: str = FULL) -> None:
        await self.cluster.send(_starts(adapter, orgs, type_))

    async def ended(
        self, adapter: str, orgs: Sequence[str], seconds_max: float = RUN_SECONDS_MAX, type_: str = FULL
    ) -> None:
        """Until every run of these has ended; each must have ended well.

        Until the last of them has ended, the others are not queried: a query fifty times a second must not be
        what is measured.
        """
        waiting = [start.key for start in _starts(adapter, orgs, type_)]
        async with asyncio.timeout(seconds_max):
            while waiting:
                if await self._ended(_OF_ONE, waiting[-1]):
                    ended = await self._ended(_OF_MANY, waiting)
                    waiting = [workflow for workflow in waiting if workflow not in ended]
                else:
                    await asyncio.sleep(POLL_SECONDS)

    async def _ended(self, query: str, workflows: str | list[str]) -> set[str]:
        try:
            found = await self.db.fetch(query, workflows)
        except asyncpg.UndefinedTableError:
            return set()
        assert all(row["status"] == "done" for row in found), "a run did not end well"
        return {row["workflow"] for row in found}

    def table(self, shape: Shape) -> str:
        return f"{shape.adapter}_{shape.adapter}_contact"


def _starts(adapter: str, orgs: Sequence[str], type_: str) -> list[StartSync]:
    return [StartSync(org=org, adapter=adapter, type=type_) for org in orgs]
