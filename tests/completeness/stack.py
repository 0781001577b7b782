"""The stack under test: an installation on PostgreSQL whose adapters read people by offset and by link."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from manifests.entity import table_name
from tests.completeness.adapters import ENTITY, STYLES, write_adapters
from tests.support.installation import Installation, installation
from tests.support.kafka import LiveBroker

_ENDED = """
select run_id, org, status, reason from sluice_sync_runs
where ended_at is not null and org = any($1) and run_id <> all($2)
"""
_ERROR = "select concat_ws('; ', reason, error) from sluice_entity_runs where org = $1 order by started_at desc limit 1"
_RUN = """
select extract(epoch from opened_at)::float8 as began, extract(epoch from coalesce(closed_at, now()))::float8 as ended,
    to_jsonb(run) ->> 'proof' as proof
from sluice_runs as run where org = $1 order by number desc limit 1
"""


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of a sync."""

    run_id: str
    status: str
    reason: str


@dataclass(frozen=True, slots=True)
class Fetched:
    """The run of the entity: Unix seconds, and what it proves of itself; None where the database has no such column."""

    began: float
    ended: float
    proof: dict[str, Any] | None


class Stack:
    """An organisation uses one adapter only."""

    def __init__(self, made: Installation, db: asyncpg.Connection) -> None:
        self._made = made
        self._db = db

    async def simulate(self, orgs: Sequence[str], *arguments: str) -> None:
        """A simulator of these organisations, in place of the one that runs, with all persons there are to be."""
        self._made.kill("simulator")
        self._made.simulator_arguments = (*arguments, *(word for org in orgs for word in ("--org", org)))
        self._made.start("simulator")
        for org in orgs:
            await self.lives(org)  # makes them

    async def order(self, name: str, **body: Any) -> Any:
        return await self._made.ask_simulator(name, body)

    async def lives(self, org: str) -> dict[str, list[float | None]]:
        return dict((await self._made.ask_simulator(f"lives?org={org}&entity={ENTITY}"))["records"])

    async def requests(self) -> dict[str, int]:
        """By organisation, since they were reset."""
        found = (await self._made.ask_simulator("counters"))["orgs"]
        return {org: report["requests"] for org, report in found.items()}

    async def forget_rows(self, orgs: Sequence[str]) -> None:
        for style in STYLES:
            table = table_name(style, ENTITY)
            if await self._db.fetchval("select to_regclass($1)", table):
                await self._db.execute(f"delete from {table} where org = any($1)", orgs)

    async def start(self, adapters: dict[str, str]) -> None:
        """Full syncs, each organisation's by its adapter."""
        requests = ({"org": org, "adapter": adapter, "type": "full"} for org, adapter in adapters.items())
        await self._made.produce("start-sync", *(json.dumps(one).encode() for one in requests))

    async def ended(self, orgs: Sequence[str], known: Sequence[str]) -> dict[str, Ended]:
        """By organisation, the syncs that have ended, but for those that are known."""
        try:
            found = await self._db.fetch(_ENDED, orgs, known)
        except asyncpg.UndefinedTableError:
            return {}
        return {row["org"]: Ended(row["run_id"], row["status"], row["reason"]) for row in found}

    async def error(self, org: str) -> str:
        """Why its entity failed, or is retried; empty if it does well."""
        return str(await self._db.fetchval(_ERROR, org) or "")

    async def fetched(self, org: str) -> Fetched | None:
        """The last run of its entity, if one was opened."""
        row = await self._db.fetchrow(_RUN, org)
        if row is None:
            return None
        return Fetched(row["began"], row["ended"], json.loads(row["proof"]) if row["proof"] else None)

    async def rows(self, org: str, adapter: str) -> set[str]:
        found = await self._db.fetch(f"select id from {table_name(adapter, ENTITY)} where org = $1", org)
        return {row["id"] for row in found}


@asynccontextmanager
async def running_stack(broker: LiveBroker, home: Path, dsn: str) -> AsyncIterator[Stack]:
    """Its simulator has no organisations of interest yet."""
    adapters = write_adapters(home / "manifests")
    async with installation(broker, home, dsn, adapters=STYLES, manifests=adapters) as made:
        db = await asyncpg.connect(dsn)
        try:
            yield Stack(made, db)
        finally:
            await db.close()
