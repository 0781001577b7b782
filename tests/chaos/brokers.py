"""One broker or three, each with a listener for every process that a proxy stands in front of.

A Kafka client connects to the address that a broker advertises: so each process has a listener of its own on each
broker, whose advertised port is its proxy's. The listener DIRECT is for the brokers, and for the tests themselves.
"""

import asyncio
import base64
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from service.clock import SystemClock
from service.dev.kafka.jars import fetch_jars
from service.dev.kafka.java import find_java
from service.kafka.cluster import answers
from service.settings import Settings
from tests.chaos.processes import Kept, guarded
from tests.chaos.proxy import Network

START_SECONDS_MAX = 120.0
FORMAT_SECONDS_MAX = 120
HEAP_MAX = "384m"
CLUSTER_ID = base64.urlsafe_b64encode(b"sluice-of-chaos!").rstrip(b"=").decode()
DIRECT, CONTROLLER = "DIRECT", "CONTROLLER"

_PROPERTIES = """\
process.roles=broker,controller
node.id={node}
controller.quorum.voters={voters}
listeners={listeners}
advertised.listeners={advertised}
listener.security.protocol.map={protocols}
controller.listener.names=CONTROLLER
inter.broker.listener.name=DIRECT
log.dirs={data}
auto.create.topics.enable=false
num.network.threads=1
num.io.threads=4
default.replication.factor={replicas}
min.insync.replicas={in_sync}
offsets.topic.replication.factor={replicas}
offsets.topic.num.partitions=4
transaction.state.log.replication.factor={replicas}
transaction.state.log.min.isr={in_sync}
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor={replicas}
share.coordinator.state.topic.min.isr={in_sync}
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
replica.lag.time.max.ms=5000
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
log.cleaner.dedupe.buffer.size=2097152
log.cleaner.backoff.ms=500
"""


@dataclass(eq=False)
class Node(Kept):
    """A broker, which is a controller, too. `environment` is the clock's."""

    number: int
    home: Path
    ports: Mapping[str, int]  # by listener
    environment: Mapping[str, str]

    @property
    def name(self) -> str:
        return f"kafka-{self.number}"

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def properties(self) -> Path:
        return self.home / "server.properties"

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.ports[DIRECT]}"


@dataclass
class Brokers:
    """The cluster. `clients` are the processes that have a listener, and links to it, of their own."""

    settings: Settings
    home: Path
    network: Network
    clients: Sequence[str]
    nodes: list[Node] = field(default_factory=list)
    _java: Path = Path()
    _jars: Path = Path()

    @property
    def bootstrap(self) -> str:
        return ",".join(node.bootstrap for node in self.nodes)

    def bootstrap_of(self, client: str) -> str:
        """Where a process finds the cluster: at its proxies."""
        return ",".join(f"127.0.0.1:{link.port}" for link in self.network.between(client, "kafka"))

    def add(self, number: int, environment: Mapping[str, str], free: Iterator[int]) -> Node:
        """A broker that is not started yet; `free` are ports that it may have."""
        listeners = [DIRECT, CONTROLLER, *map(_listener, self.clients)]
        ports = {listener: next(free) for listener in listeners}
        node = Node(number, self.home / f"kafka-{number}", ports, environment)
        for client in self.clients:
            self.network.connect(client, node.name, ports[_listener(client)])
        self.nodes.append(node)
        return node

    async def start(self) -> None:
        """Format and start all that were added; returns when each answers. Its data directory is there, and empty."""
        self._java = await asyncio.to_thread(find_java, self.settings)
        self._jars = await fetch_jars(self.settings.cache, print, SystemClock())
        for node in self.nodes:
            node.properties.write_text(self._properties_of(node))
        await asyncio.gather(*(asyncio.to_thread(self._format, node) for node in self.nodes))
        for node in self.nodes:
            self.launch(node)
        await self.until_ready()

    def launch(self, node: Node) -> None:
        """Start it, if it does not run; it answers a moment later."""
        if node.runs:
            return
        options = [f"-Xmx{HEAP_MAX}", "-Xms64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        with (self.home / f"{node.name}.log").open("ab") as log:
            node.process = subprocess.Popen(
                guarded(
                    [self._java, *options, "-XX:-CreateCoredumpOnCrash", *self._main("kafka.Kafka"), node.properties]
                ),
                cwd=node.home,
                env=dict(node.environment),
                stdout=log,
                stderr=log,
            )

    async def restart(self, node: Node) -> None:
        """kill -9, and back; returns when every broker answers."""
        node.kill()
        self.launch(node)
        await self.until_ready()

    async def until_ready(self) -> None:
        """Every broker answers, and may be written to."""
        async with asyncio.timeout(START_SECONDS_MAX):
            for node in self.nodes:
                while not await answers(node.bootstrap):
                    if not node.runs:
                        raise RuntimeError(f"{node.name} has ended while it started: see {self.home}/{node.name}.log")
                    await asyncio.sleep(0.2)

    def stop(self) -> None:
        for node in self.nodes:
            node.send(signal.SIGCONT)
            node.kill()

    def _format(self, node: Node) -> None:
        tool = [str(self._java), "-XX:TieredStopAtLevel=1", *self._main("kafka.tools.StorageTool"), "format"]
        subprocess.run(
            [*tool, "-t", CLUSTER_ID, "-c", str(node.properties)],
            check=True,
            capture_output=True,
            timeout=FORMAT_SECONDS_MAX,
        )

    def _main(self, program: str) -> list[str]:
        return ["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", f"{self._jars}/*", program]

    def _properties_of(self, node: Node) -> str:
        ports = {name: port for name, port in node.ports.items() if name != CONTROLLER}
        proxied = {_listener(link.source): link.port for link in self.network.links if link.target == node.name}
        replicas = len(self.nodes)
        return _PROPERTIES.format(
            node=node.number,
            voters=",".join(f"{other.number}@127.0.0.1:{other.ports[CONTROLLER]}" for other in self.nodes),
            listeners=_addresses(node.ports),
            advertised=_addresses({name: proxied.get(name, port) for name, port in ports.items()}),
            protocols=",".join(f"{name}:PLAINTEXT" for name in node.ports),
            data=node.data,
            replicas=replicas,
            in_sync=max(1, replicas - 1),
        )


def _listener(client: str) -> str:
    return client.replace("-", "").upper()


def _addresses(ports: Mapping[str, int]) -> str:
    return ",".join(f"{name}://127.0.0.1:{port}" for name, port in ports.items())
