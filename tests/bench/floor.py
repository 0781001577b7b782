"""The floor: the same step in a bare loop, no engine, no durability but the database's own commit."""

import asyncio
from collections.abc import Sequence

import aiohttp
import asyncpg

from tests.bench.shapes import Shape

POOL = 8
_TABLE = """create table if not exists floor_records (org text, entity text, id text, attributes jsonb,
    updated_at timestamptz default now(), primary key (org, entity, id))"""
_UPSERT = """insert into floor_records (org, entity, id, attributes)
    select $1, $2, r->>'id', r->'attributes' from jsonb_array_elements($3::jsonb->'data') r
    on conflict (org, entity, id) do update set attributes = excluded.attributes, updated_at = now()"""


class Floor:
    """One process, one HTTP session, one pool: what a careful person writes first."""

    def __init__(self, api: str, dsn: str) -> None:
        self._api = api
        self._dsn = dsn

    async def __aenter__(self) -> "Floor":
        self._http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        self._pool = await asyncpg.create_pool(self._dsn, min_size=POOL, max_size=POOL)
        await self._pool.execute(_TABLE)
        await self.step("p1-warm", 0, 25)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._http.close()
        await self._pool.close()

    async def clear(self) -> None:
        await self._pool.execute("truncate floor_records")

    async def run(self, shape: Shape, orgs: Sequence[str]) -> None:
        places = asyncio.Semaphore(shape.concurrency)

        async def workflow(org: str) -> None:
            async with places:
                for page in range(shape.pages):
                    await self.step(org, page, shape.page_size)

        await asyncio.gather(*(workflow(org) for org in orgs))

    async def step(self, org: str, page: int, size: int) -> None:
        url = f"{self._api}/{org}/contacts?offset={page * size}&per_page={size}"
        async with self._http.get(url) as answer:
            answer.raise_for_status()
            body = await answer.text()
        await self._pool.execute(_UPSERT, org, "contacts", body)
