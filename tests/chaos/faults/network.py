"""The network between each pair: cut, half-open, slow, answers lost."""

from random import Random
from typing import ClassVar

from tests.chaos.faults.fault import Fault, variant
from tests.chaos.proxy import Link
from tests.chaos.system import System

SLOW_SECONDS = (0.05, 0.4)
ANSWERS_LOST = 3
RECORD_BYTES_MIN = 400  # a request that long carries records


class Between(Fault):
    """A fault of the network between one process of a role and a server."""

    role: ClassVar[str]
    server: ClassVar[str]

    def __init__(self, random: Random) -> None:
        super().__init__(random)
        self.links: list[Link] = []

    def choose(self, system: System) -> None:
        victim = system.pick(self.random, self.role)
        self.links = system.network.between(victim.name, self.server)
        self.what = f"{victim.name} and {self.server}"

    async def heal(self, system: System) -> None:
        system.network.change(self.links, "open")


class Cut(Between):
    """Connections are reset, and no new one is had."""

    seconds = (2.0, 15.0)

    async def inject(self, system: System) -> None:
        self.choose(system)
        system.network.change(self.links, "cut")


class HalfOpen(Between):
    """Nothing arrives any more and no side notices; then what was under way arrives after all, or never will."""

    seconds = (8.0, 16.0)

    async def inject(self, system: System) -> None:
        self.choose(system)
        system.network.change(self.links, "frozen")

    async def heal(self, system: System) -> None:
        if self.random.random() < 0.5:
            self.what += ", never to arrive"
            system.network.reset(self.links)
        await super().heal(system)


class Slow(Between):
    """Each chunk of bytes takes its time."""

    seconds = (5.0, 12.0)

    async def inject(self, system: System) -> None:
        self.choose(system)
        delay = self.random.uniform(*SLOW_SECONDS)
        self.what += f", {delay * 1000:.0f} ms"
        system.network.change(self.links, "slow", delay)


class LoseAnswers(Between):
    """The broker has taken the records, the connection breaks before it can say so."""

    seconds = (2.0, 6.0)

    async def inject(self, system: System) -> None:
        self.choose(system)
        system.network.swallow(self.links, ANSWERS_LOST, RECORD_BYTES_MIN)

    async def heal(self, system: System) -> None:
        system.network.swallow(self.links, 0, 0)


PAIRS = (
    ("worker", "kafka"),
    ("fetcher", "kafka"),
    ("projector", "kafka"),
    ("fetcher", "postgres"),
    ("projector", "postgres"),
    ("fetcher", "api"),
)


def _for_each_pair(kind: type[Between], word: str, servers: tuple[str, ...]) -> list[type[Fault]]:
    return [
        variant(
            kind,
            f"{word}: {role} and {server}",
            role=role,
            server=server,
            touches=frozenset({role, f"{role}-{server}"}),
        )
        for role, server in PAIRS
        if server in servers
    ]


ALL = ("kafka", "postgres", "api")
NETWORK: tuple[type[Fault], ...] = (
    *_for_each_pair(Cut, "cut", ALL),
    *_for_each_pair(HalfOpen, "half-open", ALL),
    *_for_each_pair(Slow, "slow", ALL),
    *_for_each_pair(LoseAnswers, "answers lost", ("kafka",)),
)
