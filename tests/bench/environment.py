"""What all measurements share: the API, the database's server, and the requests that the API has had."""

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import asyncpg
import msgspec

from tests.bench.api import Request
from tests.support.kafka import free_port
from tests.support.postgres import PostgresServer

ORGS_PER_REQUEST_MAX = 100
API_STARTS_SECONDS_MAX = 10.0


@dataclass
class Environment:
    """Each measurement has a directory and a database of its own in here."""

    home: Path
    server: PostgresServer
    api_port: int
    api_pid: int
    requests: list[Request] = field(default_factory=list)  # what has been read of the API's journal

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.api_port}"

    @property
    def parts(self) -> dict[str, int]:
        return {"api": self.api_pid, "postgres": self.server.pid}

    async def database(self, name: str) -> str:
        """The address of a new, empty database."""
        connection = await asyncpg.connect(self.server.dsn())
        try:
            await connection.execute(f"create database {name}")
        finally:
            await connection.close()
        return self.server.dsn(name)

    async def render(self, orgs: Sequence[str], page_size: int) -> None:
        """Have all pages of these organisations ready, and no others."""
        for start in range(0, len(orgs), ORGS_PER_REQUEST_MAX):
            some = ",".join(orgs[start : start + ORGS_PER_REQUEST_MAX])
            await self._get(f"_render?orgs={some}&entity=contacts&per_page={page_size}&keep={int(start > 0)}")

    async def forget_requests(self) -> None:
        """Begin the API's journal anew."""
        await self._get("_forget")
        self.requests.clear()

    async def change(self, org: str, count: int, at: str) -> None:
        """So many members of an organisation change, at that time by their own word."""
        await self._get(f"_change?org={org}&count={count}&at={at}")

    async def hurry(self) -> None:
        """From now on the API answers everything at once."""
        await self._get("_hurry")

    async def read_requests(self) -> list[Request]:
        """All requests to the API since its journal began."""
        self.requests += msgspec.json.decode(
            await self._get(f"_requests?since={len(self.requests)}"), type=list[Request]
        )
        return self.requests

    async def _get(self, path: str) -> bytes:
        async with aiohttp.ClientSession() as http, http.get(f"{self.api}/{path}") as answer:
            answer.raise_for_status()
            return await answer.read()


@contextmanager
def environment_in(home: Path) -> Iterator[Environment]:
    """API and PostgreSQL running; fsync is on, and the database remembers when each transaction was committed."""
    with PostgresServer(durable=True) as server:
        port = free_port()  # one that the server has not taken
        api = subprocess.Popen([sys.executable, "-m", "tests.bench.api", str(port)], stdin=subprocess.PIPE)
        try:
            _wait_for(port)
            yield Environment(home, server, port, api.pid)
        finally:
            api.terminate()
            api.communicate(timeout=API_STARTS_SECONDS_MAX)


def _wait_for(port: int) -> None:
    """Until something listens there."""
    deadline = time.monotonic() + API_STARTS_SECONDS_MAX
    while time.monotonic() < deadline:
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.1)
    raise SystemExit("the benchmark's API did not start")
