"""The step as a Restate service. Runs in the peers' own Python: python restate_service.py API DSN PORT."""

import asyncio
import sys
from typing import Any

import restate  # type: ignore[import-not-found]  # installed beside us, never with us
import uvloop
from hypercorn.asyncio import serve  # type: ignore[import-not-found]  # as above
from hypercorn.config import Config  # type: ignore[import-not-found]  # as above

from tests.bench.floor import Floor

KEEP_ALIVE_SECONDS = 3600
STREAMS_MAX = 2**31 - 1
PAGE_SIZE = 25


async def main(api: str, dsn: str, port: str) -> None:
    async with Floor(api, dsn) as floor:
        service = restate.Service("Organisation")

        async def sync(context: Any, request: dict[str, Any]) -> int:
            stored = 0
            for page in range(request["pages"]):
                stored += await context.run_typed("page", floor.step, org=request["org"], page=page, size=PAGE_SIZE)
            return stored

        service.handler()(sync)
        config = Config()
        config.bind = [f"127.0.0.1:{port}"]
        config.h2_max_concurrent_streams = STREAMS_MAX
        config.keep_alive_timeout = KEEP_ALIVE_SECONDS
        config.loglevel = "ERROR"
        await serve(restate.app(services=[service]), config, shutdown_trigger=asyncio.Event().wait)


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
