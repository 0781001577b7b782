"""The step as DBOS workflows. Runs in the peers' own Python: python dbos_workflows.py API DSN SYSTEM_DSN.

Each line of the standard input is a JSON object with orgs, pages and concurrency; `done` means that all have ended.
"""

import asyncio
import json
import sys
from typing import Any

import uvloop
from dbos import DBOS, SetWorkflowID  # type: ignore[import-not-found]  # installed beside us, never with us

from tests.bench.floor import Floor

PAGE_SIZE = 25
SYSTEM_POOL = 20
LINE_BYTES_MAX = 1_000_000


async def main(api: str, dsn: str, system_dsn: str) -> None:
    DBOS(
        config={
            "name": "bench",
            "system_database_url": system_dsn,
            "sys_db_pool_size": SYSTEM_POOL,
            "log_level": "ERROR",
        }
    )
    async with Floor(api, dsn) as floor:

        async def page_of(org: str, page: int) -> int:
            return await floor.step(org, page, PAGE_SIZE)

        step: Any = DBOS.step()(page_of)

        async def sync(org: str, pages: int) -> int:
            return sum([await step(org, page) for page in range(pages)])

        workflow: Any = DBOS.workflow()(sync)
        DBOS.launch()
        print("ready", flush=True)
        lines = asyncio.StreamReader(limit=LINE_BYTES_MAX)
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
        while line := await lines.readline():
            await _run(workflow, **json.loads(line))
            print("done", flush=True)
        DBOS.destroy()


async def _run(workflow: Any, orgs: list[str], pages: int, concurrency: int) -> None:
    slots = asyncio.Semaphore(concurrency)

    async def one(org: str) -> None:
        async with slots:
            with SetWorkflowID(org):
                handle = await DBOS.start_workflow_async(workflow, org, pages)
            assert await handle.get_result() == pages * PAGE_SIZE

    await asyncio.gather(*(one(org) for org in orgs))


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
