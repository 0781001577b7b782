"""Brokers: one killed, one frozen, most of them down, their disk full."""

import signal
from typing import ClassVar

from tests.chaos.brokers import Node
from tests.chaos.faults.fault import Fault
from tests.chaos.system import System

NEEDS_THREE = "it takes three brokers (--brokers 3)"


class BrokersDown(Fault):
    """kill -9 of so many brokers, and back."""

    count: ClassVar[int] = 1
    touches = frozenset({"kafka"})
    seconds = (1.0, 8.0)
    victims: tuple[Node, ...] = ()

    async def inject(self, system: System) -> None:
        self.victims = tuple(self.random.sample(system.brokers.nodes, self.count))
        self.what = ", ".join(node.name for node in self.victims)
        for node in self.victims:
            node.held = True
        for node in self.victims:
            node.kill()

    async def heal(self, system: System) -> None:
        for node in self.victims:
            node.held = False
            system.brokers.launch(node)
        await system.brokers.until_ready()


class KillBroker(BrokersDown):
    name = "kill broker"


class KillTwoBrokers(BrokersDown):
    name, count = "two of three brokers down", 2

    @classmethod
    def why_not(cls, system: System) -> str:
        return "" if len(system.brokers.nodes) >= 3 else NEEDS_THREE


class FreezeBroker(Fault):
    """SIGSTOP for longer than its session, then SIGCONT: it believes that it still leads."""

    name, touches = "freeze broker", frozenset({"kafka"})
    seconds = (4.0, 10.0)
    victim: Node | None = None

    async def inject(self, system: System) -> None:
        self.victim = self.random.choice(system.brokers.nodes)
        self.what = self.victim.name
        self.victim.send(signal.SIGSTOP)

    async def heal(self, system: System) -> None:
        if self.victim is not None:
            self.victim.send(signal.SIGCONT)
        await system.brokers.until_ready()


class KafkaDiskFull(Fault):
    """Not a byte more fits under a broker's log: it halts, and comes back once there is space."""

    name, touches = "disk full under Kafka", frozenset({"kafka"})
    needs = "disks"
    seconds = (4.0, 8.0)
    victim: Node | None = None

    async def inject(self, system: System) -> None:
        self.victim = self.random.choice(system.brokers.nodes)
        self.what = self.victim.name
        self.victim.held = True
        system.disks.fill(self.victim.home)

    async def heal(self, system: System) -> None:
        if self.victim is None:
            return
        self.what += " (it halted)" if not self.victim.runs else " (it continued)"
        system.disks.free(self.victim.home)
        self.victim.held = False
        await system.brokers.restart(self.victim)
