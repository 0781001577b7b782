"""Progress of the work, as the database says: committed pages, and runs that have not ended."""

import asyncio
from dataclasses import dataclass, field

import asyncpg

from tests.chaos.system import System

POLL_SECONDS = 0.2
QUIET_POLLS = 4  # in a row without anything under way, and without a new page
WAITING_SHOWN_MAX = 8
STATE_CHARS_SHOWN_MAX = 600

# Lines of the ledger are folded into their run when it is closed: together they only ever grow.
COMMITTED = """select coalesce((select sum(pages) from sluice_runs), 0)::bigint
    + (select count(*) from sluice_pages) as pages"""
_RUNS = """with runs as (
        select run_id, status, ended_at, superseded_by, state::text as state,
            rank() over (partition by workflow order by split_part(run_id, '@', 2)::bigint desc) as place
        from sluice_workflow_runs
    ) select run_id, status, state from runs
    where ended_at is null and superseded_by is null and place"""
WAITING = f"{_RUNS} = 1 order by run_id"  # a workflow's newest run
LEFT_BEHIND = f"{_RUNS} > 1 order by run_id"  # an older one: its workflow has a newer one and will never end it
ENDED = """select request, run_id, status, reason from sluice_sync_runs
    where request = any ($1) and ended_at is not null"""
TROUBLE = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, TimeoutError)


@dataclass
class Progress:
    """Watches until it is cancelled. `pages` is the last count, `looks` how often it was had."""

    system: System
    pages: int = 0
    looks: int = 0
    looked: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def watch(self) -> None:
        while True:
            try:
                self.pages = (await self.system.query(COMMITTED))[0]["pages"]
                self.looks += 1
            except TROUBLE:
                pass  # the database is away: looked again in a moment
            async with self.looked:
                self.looked.notify_all()
            await asyncio.sleep(POLL_SECONDS)

    async def next_page(self) -> None:
        """A page is committed after this moment, or rather after the next look at what there is."""
        async with self.looked:
            looks = self.looks
            await self.looked.wait_for(lambda: self.looks > looks + 1)
            pages = self.pages
            await self.looked.wait_for(lambda: self.pages > pages)


async def until_prepared(system: System) -> None:
    """The processes have made their tables."""
    while True:
        try:
            found = await system.query(
                "select to_regclass('sluice_pages') as a, to_regclass('sluice_workflow_runs') as b"
            )
            if found[0]["a"] and found[0]["b"]:
                return
        except TROUBLE:
            pass
        await asyncio.sleep(POLL_SECONDS)


async def until_quiet(system: System, progress: Progress) -> None:
    """Every run has ended, and none has begun for a moment."""
    quiet, before = 0, -1
    while quiet < QUIET_POLLS:
        await asyncio.sleep(2 * POLL_SECONDS)
        try:
            is_still = not await system.query(WAITING) and progress.pages == before
        except TROUBLE:
            is_still = False
        before = progress.pages
        quiet = quiet + 1 if is_still else 0


async def until_ended(system: System, requests: list[str]) -> list[str]:
    """Every request's run has ended; what is wrong with those that did not end well."""
    while True:
        found = await system.query(ENDED, requests)
        if len({row["request"] for row in found}) == len(requests):
            return [f"{row['run_id']} {row['status']}: {row['reason']}" for row in found if row["status"] != "done"]
        await asyncio.sleep(2 * POLL_SECONDS)


async def left_behind(system: System) -> list[str]:
    """Runs that are published as under way for ever."""
    rows = await system.query(LEFT_BEHIND)
    shown = ", ".join(f"{row['run_id']} ({row['status']})" for row in rows[:3])
    return (
        [f"{len(rows)} runs never end in the status tables, though their workflows continued: {shown}"] if rows else []
    )


async def waiting(system: System) -> list[str]:
    """The runs that have not ended, with their states."""
    rows = await system.query(WAITING)
    lines = [f"{row['run_id']} {row['status']} {row['state'][:STATE_CHARS_SHOWN_MAX]}" for row in rows]
    more = len(lines) - WAITING_SHOWN_MAX
    return lines[:WAITING_SHOWN_MAX] + ([f"and {more} more"] if more > 0 else [])
