"""A whole installation of real processes that tests may kill: simulator, worker, fetcher, projector, on a broker."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from agents.core.registry import Registry
from agents.kinds import SHIPPED, SYNC
from manifests.loader import load_packaged
from service.clock import SystemClock
from service.dev.demo.verify import Comparison, compare, included
from service.kafka.client import client_arguments
from service.kafka.topics import ensure_topics
from service.settings import Settings, child_environment
from service.status import open_status
from tests.support.kafka import LiveBroker, free_port, settings_for
from topics.catalog import DEAD_LETTERS
from topics.dead_letters import DeadLetter, from_record
from topics.errors import Rejected, Retryable

ROOT = Path(__file__).resolve().parents[2]
ROLES = ("worker", "fetcher", "projector")
WAIT_SECONDS_MAX = 150.0


@dataclass
class Installation:
    """`names` of processes: simulator, worker, fetcher, projector. Each logs to a file of its own in `home`."""

    broker: LiveBroker
    settings: Settings
    simulator_arguments: Sequence[str]
    simulator_port: int = field(default_factory=free_port)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    program: str = "service"  # the module that runs a role
    registry: Registry = SHIPPED

    @property
    def home(self) -> Path:
        return self.settings.home

    @property
    def journal(self) -> Path:
        """What the simulator served, a line a page, whatever was killed in between."""
        return self.home / "served.tsv"

    def start(self, name: str) -> None:
        arguments: Sequence[str] = (self.program, name)
        if name == "simulator":
            port, journal = str(self.simulator_port), str(self.journal)
            arguments = ("service", "simulate", "pco", "--port", port, "--journal", journal, *self.simulator_arguments)
        with (self.home / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                cwd=ROOT,
                env=child_environment(self.settings),
                stdout=log,
                stderr=log,
            )

    def kill(self, name: str) -> None:
        """kill -9; returns when it is gone."""
        self.processes[name].kill()
        self.processes.pop(name).wait(10)

    def stop_all(self) -> None:
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)
        self.processes.clear()

    async def ask_simulator(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """The answer of its admin API, once it answers at all."""
        url = f"http://127.0.0.1:{self.simulator_port}/_sim/{path}"
        async with httpx.AsyncClient(timeout=60) as client, asyncio.timeout(WAIT_SECONDS_MAX):
            while True:
                try:
                    answer = await (client.get(url) if body is None else client.post(url, json=body))
                    return answer.raise_for_status().json()
                except httpx.TransportError:
                    await asyncio.sleep(0.2)

    async def produce(self, topic: str, *values: bytes | None, key: bytes | None = None) -> None:
        """As any stock client does."""
        async with AIOKafkaProducer(**client_arguments(self.settings)) as producer:
            for value in values:
                await producer.send_and_wait(topic, value, key)

    async def dead_letters(self) -> list[DeadLetter]:
        """Everything in the dead-letter topic, by origin."""
        arguments = client_arguments(self.settings) | {"auto_offset_reset": "earliest"}
        letters: list[DeadLetter] = []
        async with AIOKafkaConsumer(DEAD_LETTERS, **arguments) as consumer:
            while fetched := await consumer.getmany(timeout_ms=2_000):
                letters += [from_record(one.key, one.value, one.headers) for some in fetched.values() for one in some]
        return sorted(letters, key=lambda letter: (letter.topic, letter.partition, letter.offset))

    async def runs(self, kind: str = SYNC.name) -> Sequence[Any]:
        """The published runs of a kind; none while the projector has not made the tables yet."""
        store = open_status(self.settings, SystemClock(), self.registry)
        try:
            return await store.runs(kind)
        except (Rejected, Retryable):
            return []
        finally:
            await store.close()

    async def until(self, is_so: Callable[[Sequence[Any]], bool], what: str, kind: str = SYNC.name) -> Sequence[Any]:
        """Wait until the published runs are as they should be."""
        runs: Sequence[Any] = []
        try:
            async with asyncio.timeout(WAIT_SECONDS_MAX):
                while True:
                    runs = await self.runs(kind)
                    if is_so(runs):
                        return runs
                    await asyncio.sleep(0.25)
        except TimeoutError:
            found = "; ".join(f"{run.run_id} {run.status}" for run in runs) or "nothing published"
            raise AssertionError(
                f"waited {WAIT_SECONDS_MAX:.0f} s for {what}: {found}; logs are in {self.home}"
            ) from None

    async def complete(self, org: str) -> None:
        """Wait until the only run has ended, as it should, with the rows of the source."""
        (run,) = await self.until(lambda runs: bool(runs) and runs[0].has_ended, "the end of the run")
        assert run.status == "done", run.reason
        assert [entity for entity in await self.compared(org) if not entity.is_equal] == []

    async def compared(self, org: str) -> list[Comparison]:
        entities = load_packaged().adapter("pco").entities
        expected = await self.ask_simulator(f"expected?org={org}&hidden=include&include={included(entities)}")
        return await compare(self.settings.sink, org, "pco", expected["entities"], entities)


@asynccontextmanager
async def installation(
    broker: LiveBroker,
    home: Path,
    sink: str | None,
    *simulator_arguments: str,
    concurrency: int = 8,
    program: str = "service",
    registry: Registry = SHIPPED,
    base_url: str | None = None,
    adapters: Sequence[str] = ("pco",),
    **others: object,
) -> AsyncIterator[Installation]:
    """Topics on an empty broker, and all processes running, by these `others` of the settings.

    `base_url` is where fetchers look for the simulator, if not at its port; `adapters` are those that they find there.
    """
    await broker.wipe()
    settings = settings_for(broker, home).model_copy(update=others | ({} if sink is None else {"sink": sink}))
    made = Installation(broker, settings, simulator_arguments, program=program, registry=registry)
    connection = (
        f'{{base_url: "{base_url or f"http://127.0.0.1:{made.simulator_port}"}", concurrency: {concurrency}, '
        'auth: {kind: basic, id: "literal:{org}", secret: "literal:secret-{org}"}}'
    )
    settings.connections.write_text("".join(f'"*/{adapter}": {connection}\n' for adapter in adapters))
    await ensure_topics(settings, SystemClock(), registry.catalog)
    try:
        for name in ("simulator", *ROLES):
            made.start(name)
        await made.ask_simulator("counters")
        yield made
    finally:
        made.stop_all()
