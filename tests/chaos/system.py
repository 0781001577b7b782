"""The system under test: brokers, PostgreSQL, simulator, processes, and the network between them."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import asyncpg
import httpx
import psutil

from agents.kinds import SHIPPED
from service.clock import SystemClock
from service.kafka.client import client_arguments
from service.kafka.cluster import open_cluster
from service.kafka.topics import ensure_topics, wanted_topics
from service.settings import Settings, child_environment, read_settings
from tests.chaos.archive import COMPACTED
from tests.chaos.brokers import Brokers
from tests.chaos.clocks import Clocks
from tests.chaos.disks import Disks
from tests.chaos.ledger import Ledger
from tests.chaos.processes import Instance, Keeper, Log, free_ports, guarded
from tests.chaos.proxy import Network
from tests.support.house import ROOT
from tests.support.postgres import DATABASE, PostgresServer
from topics.catalog import CHANGELOG

INSTANCES = ("worker-1", "worker-2", "worker-3", "fetcher-1", "fetcher-2", "fetcher-3", "projector-1", "projector-2")
ORGS = ("ant", "bee", "cat", "dog", "elk")
LARGE_ORG = "elk"
# Records that are added, by organisation and entity: several pages each. No entity stands above or below these, so that
# they can move by themselves.
ADDED = {(LARGE_ORG, "people.person"): 1_500, **{(org, "people.email"): 300 for org in ORGS}}
ADDED_PER_SECOND = 2_000
PEOPLE = 60
LATENCY_MS = 40
CONCURRENCY = 8
PARTITIONS = 8
KAFKA_DISK_MIB = 640
TABLES_DISK_MIB = 256
ANSWER_SECONDS_MAX = 30.0


@dataclass
class System:
    """The parts that faults are injected into. `orgs` are the simulated organisations; LARGE_ORG is the largest.

    `produced` are the requests that Kafka acknowledged, `poison` the messages that can never be handled.
    """

    home: Path
    log: Log
    network: Network
    postgres: PostgresServer
    brokers: Brokers
    clocks: Clocks
    disks: Disks
    produced: Ledger
    poison: Ledger
    simulator_port: int
    instances: dict[str, Instance] = field(default_factory=dict)
    orgs: Sequence[str] = ORGS
    has_failed: bool = True  # until the end has shown otherwise: then what is on its disks is kept

    @property
    def settings(self) -> Settings:
        """As the tests themselves reach everything: past the proxies."""
        return Settings(
            home=self.home,
            cache=read_settings().cache,
            kafka_bootstrap=self.brokers.bootstrap,
            sink=self.postgres.dsn(DATABASE),
            partitions=PARTITIONS,
            replication=len(self.brokers.nodes),
            connections=self.home / "connections.yaml",
        )

    @property
    def keeper(self) -> Keeper:
        return Keeper(self.instances, self.log)

    @property
    def tables(self) -> Path:
        return self.home / "tables"

    @property
    def journal(self) -> Path:
        """What the simulator served, a line a page."""
        return self.home / "served.tsv"

    @property
    def simulator(self) -> str:
        return f"http://127.0.0.1:{self.simulator_port}"

    def running(self, role: str) -> list[Instance]:
        """The wanted processes of a role that run now."""
        return [one for one in self.instances.values() if one.role == role and one.is_wanted and one.runs]

    def pick(self, random: Random, role: str) -> Instance:
        """One of a role's processes, by chance; one that does not run this moment, if none does."""
        wanted = [one for one in self.instances.values() if one.role == role and one.is_wanted]
        return random.choice(wanted)

    async def call_simulator(self, path: str, body: dict[str, Any] | None = None) -> Any:
        async with httpx.AsyncClient(timeout=ANSWER_SECONDS_MAX) as client:
            url = f"{self.simulator}/_sim/{path}"
            answer = await (client.get(url) if body is None else client.post(url, json=body))
            return answer.raise_for_status().json()

    async def query(self, statement: str, *arguments: object) -> list[asyncpg.Record]:
        """From the database, past the proxies, on a connection of its own: the server may be another one by now."""
        connection = await asyncpg.connect(self.postgres.dsn(DATABASE), timeout=ANSWER_SECONDS_MAX)
        try:
            return await connection.fetch(statement, *arguments, timeout=ANSWER_SECONDS_MAX)
        finally:
            with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
                await connection.close(timeout=ANSWER_SECONDS_MAX)


@asynccontextmanager
async def running_system(home: Path, log: Log, brokers: int, modules: dict[str, str]) -> AsyncIterator[System]:
    """Everything but our own processes runs: brokers with their topics, PostgreSQL, the simulator.

    `modules` names, by role, the program that is run instead of `service`: the negative controls.
    """
    network, disks, free = Network(), Disks(), free_ports()
    with network.running(), PostgresServer() as postgres:
        clocks = Clocks(home / "clocks")
        (home / "logs").mkdir()
        made = System(
            home,
            log,
            network,
            postgres,
            _brokers(home, network),
            clocks,
            disks,
            Ledger(home / "produced.jsonl"),
            Ledger(home / "poison.jsonl"),
            next(free),
        )
        simulator = None
        try:
            await _create_database(postgres)
            disks.place(made.tables, TABLES_DISK_MIB)
            for number in range(1, brokers + 1):
                node = made.brokers.add(number, read_environment(made) | clocks.environment(f"kafka-{number}"), free)
                disks.place(node.home, KAFKA_DISK_MIB)
            await made.brokers.start()
            simulator = _start_simulator(made)
            await _create_topics(made.settings)
            _add_instances(made, modules)
            yield made
        finally:
            for instance in made.instances.values():
                instance.kill()
            if simulator is not None:
                simulator.kill()
                simulator.wait()
            made.brokers.stop()
            signal_postgres(postgres, signal.SIGCONT)
            disks.unmount(keep=made.has_failed)


def signal_postgres(postgres: PostgresServer, number: signal.Signals) -> None:
    """To the server and all its processes: SIGSTOP, or SIGCONT, without which it could not be stopped either."""
    with suppress(psutil.NoSuchProcess, OSError):
        server = psutil.Process(postgres.pid)
        for process in (server, *server.children(recursive=True)):
            process.send_signal(number)


def read_environment(made: System) -> dict[str, str]:
    """Our own environment without any setting of Sluice's."""
    return {name: value for name, value in child_environment(Settings()).items() if not name.startswith("SLUICE_")}


def _brokers(home: Path, network: Network) -> Brokers:
    return Brokers(Settings(home=home, cache=read_settings().cache), home, network, INSTANCES)


async def _create_database(postgres: PostgresServer) -> None:
    connection = await asyncpg.connect(postgres.dsn())
    await connection.execute(f"create database {DATABASE}")
    await connection.close()


async def _create_topics(settings: Settings) -> None:
    """As the product does, but for the journal, which is compacted every minute."""
    async with open_cluster(client_arguments(settings)) as cluster:
        topics = wanted_topics(settings, SHIPPED.catalog)
        next(topic for topic in topics if topic.name == CHANGELOG).topic_configs.update(COMPACTED)
        await cluster.create(topics)
    await ensure_topics(settings, SystemClock(), SHIPPED.catalog)


def _start_simulator(made: System) -> subprocess.Popen[bytes]:
    arguments = ["simulate", "pco", "--port", str(made.simulator_port), "--journal", str(made.journal)]
    arguments += ["--no-rate-limit", "--people", str(PEOPLE), "--latency-ms", str(LATENCY_MS)]
    for org in made.orgs:
        arguments += ["--org", org]
    with (made.home / "logs" / "simulator.log").open("ab") as log:
        return subprocess.Popen(
            guarded([sys.executable, "-m", "service", *arguments]), cwd=ROOT, stdout=log, stderr=log
        )


async def until_simulated(made: System) -> None:
    """The simulator answers, and its organisations are as large as they are to be."""
    async with asyncio.timeout(ANSWER_SECONDS_MAX):
        while True:
            try:
                await made.call_simulator("counters")
                break
            except httpx.TransportError:
                await asyncio.sleep(0.2)
    for (org, entity), count in ADDED.items():
        order = {"org": org, "entity": entity, "inserts_per_second": ADDED_PER_SECOND}
        await made.call_simulator("move", {**order, "seconds": count / ADDED_PER_SECOND})
    await asyncio.sleep(max(ADDED.values()) / ADDED_PER_SECOND)
    await made.call_simulator("move/stop", {})


def _add_instances(made: System, modules: dict[str, str]) -> None:
    direct = made.settings
    for name in INSTANCES:
        role = name.partition("-")[0]
        changes: dict[str, object] = {"kafka_bootstrap": made.brokers.bootstrap_of(name)}
        if role != "worker":
            port = made.network.connect(name, "postgres", made.postgres.port)
            changes["sink"] = direct.sink.replace(f":{made.postgres.port}/", f":{port}/")
        if role == "fetcher":
            changes["connections"] = _connections(made, name)
        environment = made.clocks.environment(name)
        module = modules.get(role, "service")
        made.instances[name] = Instance(name, direct.model_copy(update=changes), environment, module)


def _connections(made: System, name: str) -> Path:
    port = made.network.connect(name, "api", made.simulator_port)
    connection = {
        "base_url": f"http://127.0.0.1:{port}",
        "concurrency": CONCURRENCY,
        "auth": {"kind": "basic", "id": "literal:{org}", "secret": "literal:secret-{org}"},
    }
    path = made.home / f"connections-{name}.yaml"
    path.write_text(json.dumps({"*/pco": connection}))  # JSON is YAML
    return path
