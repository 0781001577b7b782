"""The audit in the database: what was written under which run, noted by triggers in the engine's own transactions.

The page's trigger fires after the insert, not before it: an insert that meets a line that is there already fires
"before" triggers too, and nothing would have been inserted. Lines and changes of runs take their numbers from one
sequence, so that their order is known.
"""

import asyncio
from typing import TypeAlias

import asyncpg

TABLES_SECONDS_MAX = 20.0
POLL_SECONDS = 0.2
LOCK_KEY = 1397511496  # beside the engine's own two, of which it knows nothing

_INSTALL = """
create sequence sluice_audit_numbers;
create table sluice_audit_pages (
    id bigint primary key default nextval('sluice_audit_numbers'),
    run_id text not null,
    parent text not null,
    page bigint not null,
    records bigint not null,
    rejected bigint not null,
    state text not null,
    txid bigint not null,
    at timestamptz not null
);
create table sluice_audit_runs (
    id bigint primary key default nextval('sluice_audit_numbers'),
    run_id text not null,
    state text not null,
    txid bigint not null,
    at timestamptz not null
);
create function sluice_audit_page() returns trigger language plpgsql as $$
begin
    insert into sluice_audit_pages (run_id, parent, page, records, rejected, state, txid, at)
    values (
        new.run_id, new.parent, new.page, new.records, new.rejected,
        coalesce((select run.state from sluice_runs as run where run.run_id = new.run_id), 'unknown'),
        pg_current_xact_id()::text::bigint, clock_timestamp()
    );
    return null;
end
$$;
create function sluice_audit_run() returns trigger language plpgsql as $$
begin
    if tg_op = 'INSERT' or old.state is distinct from new.state then
        insert into sluice_audit_runs (run_id, state, txid, at)
        values (new.run_id, new.state, pg_current_xact_id()::text::bigint, clock_timestamp());
    end if;
    return null;
end
$$;
create trigger sluice_audit_page after insert on sluice_pages for each row execute function sluice_audit_page();
create trigger sluice_audit_run after insert or update on sluice_runs
    for each row execute function sluice_audit_run();
"""


Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


class NotInstalled(Exception):
    """The audit could not be put into the database; the text says why and what to do."""


async def install(dsn: str) -> bool:
    """Put the audit in, once the engine's tables are there; False if it was there already."""
    connection = await asyncpg.connect(dsn)
    try:
        await _tables(connection)
        async with connection.transaction():
            await connection.execute(f"select pg_advisory_xact_lock({LOCK_KEY})")
            if await is_there(connection, "sluice_audit_pages"):
                return False
            await connection.execute("lock table sluice_runs, sluice_pages in share row exclusive mode")
            if await connection.fetchval("select exists (select from sluice_runs)"):
                raise NotInstalled(
                    "the database holds runs already: the audit must be there before the first one; empty the "
                    "database, or install it right after the tables are made"
                )
            await connection.execute(_INSTALL)
        return True
    finally:
        await connection.close()


async def _tables(connection: Connection) -> None:
    try:
        async with asyncio.timeout(TABLES_SECONDS_MAX):
            while not (await is_there(connection, "sluice_pages") and await is_there(connection, "sluice_runs")):
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        raise NotInstalled(
            f"there are no tables sluice_runs and sluice_pages after {TABLES_SECONDS_MAX:.0f} s: start a fetcher on "
            "this database, it makes them"
        ) from None


async def is_there(connection: Connection, table: str) -> bool:
    found: bool = await connection.fetchval("select to_regclass($1) is not null", table)
    return found
