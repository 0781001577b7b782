"""The floors: the same step in a bare loop, no engine, no durability but the database's own commit."""

import asyncio
import os
from collections.abc import Sequence
from typing import Self

import aiohttp
import asyncpg

from tests.bench.shapes import Shape

POOL = 8
TABLE = "floor_records"
_CREATE = f"""create table if not exists {TABLE} (org text, entity text, id text, attributes jsonb,
    updated_at timestamptz default now(), primary key (org, entity, id))"""
_UPSERT = f"""insert into {TABLE} (org, entity, id, attributes)
    select $1, $2, r->>'id', r->'attributes' from jsonb_array_elements($3::jsonb->'data') r
    on conflict (org, entity, id) do update set attributes = excluded.attributes, updated_at = now()"""
FENCED_TABLE = "fenced_records"
_CREATE_FENCED = f"""create table if not exists fenced_runs (org text primary key, state text not null);
    create table if not exists fenced_pages (org text, page bigint, records int not null, primary key (org, page));
    create table if not exists {FENCED_TABLE} (org text, id text, name text, email text, status text, amount bigint,
        created_at timestamptz, note text, raw jsonb not null, run_id text not null, page bigint not null,
        fetched_at timestamptz not null, primary key (org, id))"""
_OPEN = "insert into fenced_runs (org, state) values ($1, 'open') on conflict do nothing"
_IS_OPEN = "select state = 'open' from fenced_runs where org = $1 for share"
_UPSERT_TYPED = f"""insert into {FENCED_TABLE}
        (org, id, name, email, status, amount, created_at, note, raw, run_id, page, fetched_at)
    select $1, r->>'id', a->>'name', a->>'email', a->>'status', (a->>'amount')::bigint, (a->>'created_at')::timestamptz,
        a->>'note', r, $1, $2, now()
    from jsonb_array_elements($3::jsonb->'data') r, lateral (select r->'attributes') as attributes (a)
    on conflict (org, id) do update set name = excluded.name, email = excluded.email, status = excluded.status,
        amount = excluded.amount, created_at = excluded.created_at, note = excluded.note, raw = excluded.raw,
        run_id = excluded.run_id, page = excluded.page, fetched_at = excluded.fetched_at"""
_LEDGER_LINE = "insert into fenced_pages (org, page, records) values ($1, $2, $3)"


class Floor:
    """One process, one HTTP session, one pool: what a careful person writes first."""

    name = "floor"

    def __init__(self, api: str, dsn: str) -> None:
        self._api = api
        self._dsn = dsn

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        self.pool = await asyncpg.create_pool(self._dsn, min_size=POOL, max_size=POOL)
        await self.create()
        await self.run(Shape("warm", 1, 2, 1), [f"p2-warm-{self.name}"])
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.close()
        await self.pool.close()

    async def create(self) -> None:
        await self.pool.execute(_CREATE)

    async def clear(self) -> None:
        await self.pool.execute(f"truncate {TABLE}")

    @property
    def parts(self) -> dict[str, int]:
        return {self.name: os.getpid()}

    def table(self, shape: Shape) -> str:
        return TABLE

    async def run(self, shape: Shape, orgs: Sequence[str]) -> None:
        slots = asyncio.Semaphore(shape.concurrency)

        async def workflow(org: str) -> None:
            async with slots:
                await self.begin(org)
                for page in range(shape.pages):
                    await self.step(org, page, shape.page_size)

        await asyncio.gather(*(workflow(org) for org in orgs))

    async def begin(self, org: str) -> None:
        """Nothing is remembered of a run."""

    async def step(self, org: str, page: int, size: int) -> int:
        """One page from the API into the database; how many records it had."""
        url = f"{self._api}/{org}/contacts?offset={page * size}&per_page={size}"
        async with self._http.get(url) as answer:
            answer.raise_for_status()
            body = await answer.text()
        return await self.store(org, page, body)

    async def store(self, org: str, page: int, body: str) -> int:
        return int((await self.pool.execute(_UPSERT, org, "contacts", body)).split()[-1])


class Fenced(Floor):
    """Each page committed by itself, with a check that its run is still open and a line that says that it is there.

    It stores what Sluice stores, but for the hash: typed columns, the raw record, where it came from and when.
    """

    name = "fenced"

    async def create(self) -> None:
        await self.pool.execute(_CREATE_FENCED)

    async def clear(self) -> None:
        await self.pool.execute(f"truncate {FENCED_TABLE}, fenced_runs, fenced_pages")

    def table(self, shape: Shape) -> str:
        return FENCED_TABLE

    async def begin(self, org: str) -> None:
        await self.pool.execute(_OPEN, org)

    async def store(self, org: str, page: int, body: str) -> int:
        async with self.pool.acquire() as connection, connection.transaction():
            assert await connection.fetchval(_IS_OPEN, org), f"the run of {org} is closed"
            records = int((await connection.execute(_UPSERT_TYPED, org, page, body)).split()[-1])
            await connection.execute(_LEDGER_LINE, org, page, records)
        return records


class Plain(Fenced):
    """The same in one plain loop: a page at a time, an organisation after the other."""

    name = "plain"

    async def run(self, shape: Shape, orgs: Sequence[str]) -> None:
        for org in orgs:
            await self.begin(org)
            for page in range(shape.pages):
                await self.step(org, page, shape.page_size)
