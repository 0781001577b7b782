"""The peers as contestants: their processes, and how a shape is given to them."""

import asyncio
import json
import os
import socket
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self

import aiohttp

from tests.bench.accounts import Database
from tests.bench.floor import TABLE
from tests.bench.peers.installed import PYTHON
from tests.bench.shapes import Shape
from tests.support.house import ROOT

STARTS_SECONDS_MAX = 60.0
RUN_SECONDS_MAX = 600.0
STOP_SECONDS_MAX = 10.0
POLL_SECONDS = 0.1
HERE = Path(__file__).parent
_RESTATE_CONFIG = """\
cluster-name = "bench"
node-name = "bench"
bind-address = "127.0.0.1:{node}"
advertised-address = "http://127.0.0.1:{node}/"
listen-mode = "tcp"
disable-telemetry = true
log-filter = "warn"
[ingress]
bind-address = "127.0.0.1:{ingress}"
advertised-ingress-endpoint = "http://127.0.0.1:{ingress}/"
[admin]
bind-address = "127.0.0.1:{admin}"
"""


class Peer:
    """Processes of a peer, by the names of its parts. Their rows go to the floor's table."""

    name: str

    def __init__(self, home: Path, api: str, dsn: str, db: Database) -> None:
        home.mkdir(parents=True)
        self._home = home
        self._api = api
        self._dsn = dsn
        self._db = db
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._open = ExitStack()

    @property
    def parts(self) -> dict[str, int]:
        return {name: process.pid for name, process in self._processes.items()}

    def table(self, shape: Shape) -> str:
        return TABLE

    async def clear(self) -> None:
        await self._db.execute(f"truncate {TABLE}")

    async def __aexit__(self, *_: object) -> None:
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS_MAX)
            process.kill()
            process.wait()
        self._open.close()

    def _start(self, name: str, *command: str | Path, piped: bool = False) -> subprocess.Popen[bytes]:
        log = self._open.enter_context((self._home / f"{name}.log").open("wb"))
        pipe = subprocess.PIPE if piped else None
        process = subprocess.Popen(
            command, cwd=self._home, stdin=pipe, stdout=pipe or log, stderr=log, env=_environment()
        )
        self._processes[name] = process
        return process

    def _said(self) -> str:
        logs = sorted(self._home.glob("*.log"))
        return "; ".join(f"{log.name}: {log.read_text()[-500:]}" for log in logs)


class Restate(Peer):
    """One server with its defaults, one service process; workflows begin through its ingress, each with its own key."""

    name = "restate"

    def __init__(self, home: Path, api: str, dsn: str, db: Database, server: Path) -> None:
        super().__init__(home, api, dsn, db)
        self._server = server

    async def __aenter__(self) -> Self:
        ports = dict(zip(("node", "ingress", "admin", "service"), _free_ports(4), strict=True))
        config = self._home / "restate.toml"
        config.write_text(_RESTATE_CONFIG.format(**ports))
        self._start("restate", self._server, "-c", config, "--base-dir", self._home / "data", "--no-logo")
        service = HERE / "restate_service.py"
        self._start("service", PYTHON.absolute(), service, self._api, self._dsn, str(ports["service"]))
        self._ingress = f"http://127.0.0.1:{ports['ingress']}"
        timeout = aiohttp.ClientTimeout(RUN_SECONDS_MAX)
        self._http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout)
        admin = f"http://127.0.0.1:{ports['admin']}/deployments"
        await self._until_taken(admin, {"uri": f"http://127.0.0.1:{ports['service']}", "force": True})
        await self.run(Shape("warm", 1, 2, 1), ["p2-warm"])
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.close()
        await super().__aexit__(None, None, None)

    async def run(self, shape: Shape, orgs: Sequence[str]) -> None:
        slots = asyncio.Semaphore(shape.concurrency)

        async def workflow(org: str) -> None:
            async with slots:
                url, body = f"{self._ingress}/Organisation/sync", {"org": org, "pages": shape.pages}
                async with self._http.post(url, json=body, headers={"idempotency-key": org}) as answer:
                    assert answer.status == 200, await answer.text()

        await asyncio.gather(*(workflow(org) for org in orgs))

    async def _until_taken(self, url: str, body: dict[str, object]) -> None:
        """Repeat until the server is there, has found the service, and takes calls for it."""
        try:
            async with asyncio.timeout(STARTS_SECONDS_MAX):
                while not (await self._takes(url, body) and await self._takes_calls()):
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            raise RuntimeError(f"Restate did not start: {self._said()}") from None

    async def _takes(self, url: str, body: dict[str, object]) -> bool:
        try:
            async with self._http.post(url, json=body) as answer:
                return answer.ok
        except aiohttp.ClientError:
            return False

    async def _takes_calls(self) -> bool:
        return await self._takes(f"{self._ingress}/Organisation/sync", {"org": "p1-warm", "pages": 1})


class Dbos(Peer):
    """One process; its system database is one of its own on the same server."""

    name = "dbos"

    def __init__(self, home: Path, api: str, dsn: str, db: Database, system_dsn: str) -> None:
        super().__init__(home, api, dsn, db)
        self._system_dsn = system_dsn

    async def __aenter__(self) -> Self:
        program = HERE / "dbos_workflows.py"
        command = (PYTHON.absolute(), program, self._api, self._dsn, self._system_dsn)
        self._process = self._start(self.name, *command, piped=True)
        await self._expect("ready", STARTS_SECONDS_MAX)
        await self.run(Shape("warm", 1, 2, 1), ["p2-warm"])
        return self

    async def run(self, shape: Shape, orgs: Sequence[str]) -> None:
        assert self._process.stdin is not None
        shape_of = {"orgs": list(orgs), "pages": shape.pages, "concurrency": shape.concurrency}
        self._process.stdin.write(json.dumps(shape_of).encode() + b"\n")
        self._process.stdin.flush()
        await self._expect("done", RUN_SECONDS_MAX)

    async def _expect(self, word: str, seconds_max: float) -> None:
        assert self._process.stdout is not None
        async with asyncio.timeout(seconds_max):
            said = await asyncio.to_thread(self._process.stdout.readline)
        assert said.decode().strip() == word, f"DBOS said {said!r}: {self._said()}"


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "DO_NOT_TRACK": "1"}


def _free_ports(count: int) -> list[int]:
    with ExitStack() as open_:
        probes = [open_.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
