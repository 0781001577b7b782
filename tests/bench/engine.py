"""The engine under measurement: embedded broker, topics, worker, fetcher and projector as processes of their own."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import asyncpg
from aiokafka import AIOKafkaProducer

from service.clock import SystemClock
from service.dev import Dev
from service.kafka import broker as brokers
from service.kafka.client import client_arguments
from service.kafka.embedded import home_of
from service.settings import Settings
from tests.bench.shapes import Shape
from tests.support.kafka import free_port
from topics.codec import encode
from topics.commands import StartSync

READY_SECONDS_MAX = 60.0
RUN_SECONDS_MAX = 300.0
POLL_SECONDS = 0.02
MANIFESTS = Path(__file__).parent / "manifests"
_ENDED = "select count(*) from sluice_sync_runs where status <> 'running' and org = any($1::text[])"
_BAD = "select count(*) from sluice_sync_runs where status not in ('running', 'done') and org = any($1::text[])"
_ROWS = "select count(*) from {table} where org = any($1::text[])"


class Engine:
    """Runs shapes through Kafka and waits until the published status says that all have ended."""

    def __init__(self, home: Path, api: str, dsn: str) -> None:
        home.mkdir(parents=True)
        connections = home / "connections.yaml"
        connections.write_text(
            "".join(f'"*/{name}": {{base_url: "{api}", auth: none, concurrency: 32}}\n' for name in ("bench", "bulk"))
        )
        self._settings = Settings(
            home=home, kafka_port=free_port(), sink=dsn, connections=connections, manifests=MANIFESTS
        )
        self._clock = SystemClock()
        self._dev = Dev(self._settings, self._clock, print)
        self._dsn = dsn

    async def __aenter__(self) -> "Engine":
        await self._dev.start()
        self._running = asyncio.create_task(self._dev.run())
        self._db = await asyncpg.connect(self._dsn)
        self._producer = AIOKafkaProducer(**client_arguments(self._settings), acks="all")
        await self._producer.start()
        for adapter in ("bench", "bulk"):
            await self.run(Shape("warm", 2, 2, 2, adapter), ["p2-warm-1", "p2-warm-2"], READY_SECONDS_MAX)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._producer.stop()
        await self._db.close()
        self._dev.stop()
        await self._running

    async def clear(self) -> None:
        await self._db.execute("truncate bench_bench_contact, bulk_bulk_contact")

    @property
    def pids(self) -> dict[str, int]:
        """The processes by name, the broker's among them."""
        found = brokers.find(home_of(self._settings))
        parts = {"broker": found.pid} if found else {}
        return parts | {child.name: child.pid for child in self._dev.supervisor.children if child.pid is not None}

    async def run(self, shape: Shape, orgs: Sequence[str], seconds_max: float = RUN_SECONDS_MAX) -> None:
        commands = [StartSync(org=org, adapter=shape.adapter, type="full") for org in orgs]
        for command in commands:
            await self._producer.send(command.topic, encode(command), command.key.encode())
        async with asyncio.timeout(seconds_max):
            while await self._count(_ENDED, orgs) < len(orgs):
                await asyncio.sleep(POLL_SECONDS)
        assert await self._count(_BAD, orgs) == 0, "a run did not end well"

    async def rows(self, shape: Shape, orgs: Sequence[str]) -> int:
        return await self._count(_ROWS.format(table=f"{shape.adapter}_{shape.adapter}_contact"), orgs)

    async def _count(self, query: str, orgs: Sequence[str]) -> int:
        try:
            return int(await self._db.fetchval(query, list(orgs)))
        except asyncpg.UndefinedTableError:
            return 0
