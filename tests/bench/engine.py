"""The engine under measurement: worker, fetcher and projector as processes of their own on the embedded broker."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import asyncpg

from tests.bench.cluster import POLL_SECONDS, Cluster
from tests.bench.shapes import Shape
from topics.commands import StartSync

WARM_SECONDS_MAX = 60.0
WARM_WORKFLOWS, WARM_PAGES = 50, 10
RUN_SECONDS_MAX = 600.0
POOL = 2  # whoever waits for one run while another is under way needs a connection for each
ALL = {"worker": "worker", "fetcher": "fetcher", "projector": "projector"}
TABLES = ("bench_bench_contact", "bulk_bulk_contact", "limited_limited_contact")
# Joined, not compared with each of a thousand names: whoever looks fifty times a second must not be what is measured.
_OF_ORGS = "select count(*) from sluice_sync_runs join unnest($1::text[]) as asked (org) using (org)"
_ENDED = f"{_OF_ORGS} where status <> 'running'"
_BAD = f"{_OF_ORGS} where status not in ('running', 'done')"


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

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.db.close()
        await self.cluster.__aexit__(kind, error, trace)

    async def clear(self) -> None:
        await self.db.execute(f"truncate {', '.join(TABLES)}")

    @property
    def parts(self) -> dict[str, int]:
        return self.cluster.pids

    async def run(self, shape: Shape, orgs: Sequence[str], seconds_max: float = RUN_SECONDS_MAX) -> None:
        await self.begin(shape.adapter, orgs)
        await self.ended(orgs, seconds_max)

    async def begin(self, adapter: str, orgs: Sequence[str]) -> None:
        await self.cluster.send([StartSync(org=org, adapter=adapter, type="full") for org in orgs])

    async def ended(self, orgs: Sequence[str], seconds_max: float = RUN_SECONDS_MAX) -> None:
        """Until every run of these has ended; each must have ended well."""
        async with asyncio.timeout(seconds_max):
            while await self._count(_ENDED, orgs) < len(orgs):
                await asyncio.sleep(POLL_SECONDS)
        assert await self._count(_BAD, orgs) == 0, "a run did not end well"

    def table(self, shape: Shape) -> str:
        return table_of(shape.adapter)

    async def _count(self, query: str, orgs: Sequence[str]) -> int:
        try:
            return int(await self.db.fetchval(query, list(orgs)))
        except asyncpg.UndefinedTableError:
            return 0


def table_of(adapter: str) -> str:
    return f"{adapter}_{adapter}_contact"
