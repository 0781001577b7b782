"""Environment of the demo: an empty directory, real processes, a simulated API."""

import asyncio
import shutil
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from manifests.loader import load_packaged
from service.clock import Clock
from service.dev import Say
from service.dev.demo.verify import Comparison, compare, included
from service.dev.environment import LocalEnvironment
from service.dev.supervisor import Child
from service.settings import Settings
from topics.errors import Retryable

ADAPTER = "pco"
ORGANISATIONS = ("acme", "zenith")
SIMULATOR_SECONDS_MAX = 60.0
CONNECTIONS = """\
# Written by `sluice demo`: the connections of the simulated organisations.
"*/pco":
  base_url: http://127.0.0.1:{port}
  auth: {{kind: basic, id: "literal:{{org}}", secret: "literal:secret-{{org}}"}}
"""


@dataclass(frozen=True, slots=True)
class Report:
    """The figures of a demo. `refetched_pages` is the simulator's own count of pages served again."""

    organisations: int
    entities: int
    records: int
    expected: int
    is_equal: bool
    pages: int
    refetched_pages: int
    seconds: float
    records_per_s: float


class DemoEnvironment:
    """All processes of a demo, in a home of its own that is emptied first."""

    def __init__(self, settings: Settings, people: int, clock: Clock, say: Say) -> None:
        home = settings.home.absolute() / "demo"
        self._simulator_port = _free_port()
        changes: dict[str, Any] = {"home": home, "connections": home / "connections.yaml"}
        if not settings.kafka_bootstrap:
            changes["kafka_port"] = _free_port()
        if "sink" not in settings.model_fields_set:
            changes["sink"] = f"sqlite:///{home}/sluice.db"
        self.settings = settings.model_copy(update=changes)
        orgs = [argument for org in ORGANISATIONS for argument in ("--org", org)]
        port = str(self._simulator_port)
        simulator = ("simulate", "pco", "--port", port, "--people", str(people), "--no-rate-limit", *orgs)
        self._local = LocalEnvironment(self.settings, clock, say, [Child("simulator", simulator)])
        self._say = say
        self._running: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "DemoEnvironment":
        _empty(self.settings.home)
        self.settings.connections.write_text(CONNECTIONS.format(port=self._simulator_port))
        await self._local.start()
        self._running = asyncio.create_task(self._local.run())
        await self._wait_for_simulator()
        self._say(f"a simulated Planning Center with {len(ORGANISATIONS)} organisations answers")
        return self

    async def __aexit__(self, *error: object) -> None:
        self._local.stop()
        if self._running is not None:
            await self._running

    async def compared(self) -> list[Comparison]:
        """A comparison of every entity of every organisation, row by row."""
        found = []
        for org in ORGANISATIONS:
            entities = load_packaged().adapter(ADAPTER).entities
            expected = await self._get(f"expected?org={org}&hidden=include&include={included(entities)}")
            found += await compare(self.settings.sink, org, ADAPTER, expected["entities"], entities)
        return found

    async def report(self, compared: Sequence[Comparison], seconds: float) -> Report:
        counters = (await self._get("counters"))["orgs"]
        records = sum(one.stored for one in compared)
        served = sum(org["pages_served"] for org in counters.values())
        pages = sum(entity["pages"] for org in counters.values() for entity in org["entities"].values())
        return Report(
            organisations=len(ORGANISATIONS),
            entities=len({one.entity for one in compared}),
            records=records,
            expected=sum(one.expected for one in compared),
            is_equal=all(one.is_equal for one in compared),
            pages=pages,
            refetched_pages=served - pages,
            seconds=round(seconds, 2),
            records_per_s=round(records / seconds, 1),
        )

    async def _wait_for_simulator(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(SIMULATOR_SECONDS_MAX):
                while True:
                    with suppress(httpx.TransportError):
                        await self._get("counters")
                        return
                    await asyncio.sleep(0.2)
        logs = self.settings.home / "logs"
        raise Retryable(f"the simulator did not answer within {SIMULATOR_SECONDS_MAX:.0f} s: see its log in {logs}")

    async def _get(self, path: str) -> Any:
        async with httpx.AsyncClient(timeout=SIMULATOR_SECONDS_MAX) as client:
            response = await client.get(f"http://127.0.0.1:{self._simulator_port}/_sim/{path}")
            return response.raise_for_status().json()


def _empty(home: Path) -> None:
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)


def _free_port() -> int:
    """A free port; the next one is free, too: the broker's controller listens there."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            with suppress(OSError, OverflowError):
                second.bind(("127.0.0.1", port + 1))
                return port
