"""The demonstration from the empty directory to the comparison: everything real but the API."""

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
from service.dev.demo.verify import Comparison, compare
from service.dev.environment import Dev, Tell
from service.dev.supervisor import Child
from service.settings import Settings
from topics.errors import Retryable

ADAPTER = "pco"
ORGANISATIONS = ("acme", "zenith")
SIMULATOR_SECONDS_MAX = 60.0
CONNECTIONS = """\
# Written by the demonstration: how the simulated organisations are reached.
"*/pco":
  base_url: http://127.0.0.1:{port}
  auth: {{kind: basic, id: "literal:{{org}}", secret: "literal:secret-{{org}}"}}
"""


@dataclass(frozen=True, slots=True)
class Report:
    """The figures of a demonstration. `refetched_pages` is the simulator's own count of pages served again."""

    organisations: int
    entities: int
    records: int
    expected: int
    is_equal: bool
    pages: int
    refetched_pages: int
    seconds: float
    records_per_s: float


class Stage:
    """All processes of a demonstration, in a home of its own that is emptied first."""

    def __init__(self, settings: Settings, people: int, clock: Clock, tell: Tell) -> None:
        home = settings.home.absolute() / "demo"
        self._simulator_port = _free_ports()
        changes: dict[str, Any] = {"home": home, "connections": home / "connections.yaml"}
        if not settings.kafka_bootstrap:
            changes["kafka_port"] = _free_ports()
        if "sink" not in settings.model_fields_set:
            changes["sink"] = f"sqlite:///{home}/sluice.db"
        self.settings = settings.model_copy(update=changes)
        orgs = [argument for org in ORGANISATIONS for argument in ("--org", org)]
        port = str(self._simulator_port)
        simulator = ("simulate", "pco", "--port", port, "--people", str(people), "--no-rate-limit", *orgs)
        self._dev = Dev(self.settings, clock, tell, [Child("simulator", simulator)])
        self._tell = tell
        self._running: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Stage":
        _empty(self.settings.home)
        self.settings.connections.write_text(CONNECTIONS.format(port=self._simulator_port))
        await self._dev.start()
        self._running = asyncio.create_task(self._dev.run())
        await self._simulator_answers()
        self._tell(f"a simulated Planning Center with {len(ORGANISATIONS)} organisations answers")
        return self

    async def __aexit__(self, *error: object) -> None:
        self._dev.stop()
        if self._running is not None:
            await self._running

    async def compared(self) -> list[Comparison]:
        """Every entity of every organisation, row by row."""
        found = []
        for org in ORGANISATIONS:
            expected = await self._ask(f"expected?org={org}&hidden=include")
            entities = load_packaged().adapter(ADAPTER).entities
            found += await compare(self.settings.sink, org, ADAPTER, expected["entities"], entities)
        return found

    async def report(self, compared: Sequence[Comparison], seconds: float) -> Report:
        counters = (await self._ask("counters"))["orgs"]
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

    async def _simulator_answers(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(SIMULATOR_SECONDS_MAX):
                while True:
                    with suppress(httpx.TransportError):
                        await self._ask("counters")
                        return
                    await asyncio.sleep(0.2)
        raise Retryable(f"the simulator did not answer in time; its log is in {self.settings.home / 'logs'}")

    async def _ask(self, path: str) -> Any:
        async with httpx.AsyncClient(timeout=SIMULATOR_SECONDS_MAX) as client:
            answer = await client.get(f"http://127.0.0.1:{self._simulator_port}/_sim/{path}")
            return answer.raise_for_status().json()


def _empty(home: Path) -> None:
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)


def _free_ports() -> int:
    """A port that is free now, and the next one, too (the broker's controller listens there)."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            with suppress(OSError, OverflowError):
                second.bind(("127.0.0.1", port + 1))
                return port
