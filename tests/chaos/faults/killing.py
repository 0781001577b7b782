"""Processes of ours: killed, frozen, restarted one by one, more of them and fewer."""

import asyncio
import signal
from random import Random
from typing import ClassVar

from tests.chaos.faults.fault import ROLES, Fault, of_each_role
from tests.chaos.processes import Instance
from tests.chaos.system import System

SESSION_SECONDS = 10.0  # a member that sends nothing for so long has lost its partitions


class Kill(Fault):
    """kill -9; what keeps processes alive starts it again."""

    role: ClassVar[str]
    seconds = (0.0, 3.0)
    victim: Instance | None = None

    async def inject(self, system: System) -> None:
        self.victim = system.pick(self.random, self.role)
        self.what = self.victim.name
        self.victim.held = True
        self.victim.kill()

    async def heal(self, system: System) -> None:
        if self.victim is not None:
            self.victim.held = False


class Freeze(Fault):
    """SIGSTOP for longer than the group waits, then SIGCONT: its partitions belong to others by then."""

    role: ClassVar[str]
    seconds = (SESSION_SECONDS + 2.0, SESSION_SECONDS + 6.0)
    victim: Instance | None = None

    async def inject(self, system: System) -> None:
        self.victim = system.pick(self.random, self.role)
        self.what = self.victim.name
        self.victim.send(signal.SIGSTOP)

    async def heal(self, system: System) -> None:
        if self.victim is not None:
            self.victim.send(signal.SIGCONT)


KILLS = of_each_role(Kill, "kill")
FREEZES = of_each_role(Freeze, "freeze")


class KillEverything(Fault):
    """kill -9 of all that there is, at once, and back in any order."""

    name, touches = "kill everything", frozenset({*ROLES, "kafka", "postgres"})
    seconds = (0.5, 4.0)

    async def inject(self, system: System) -> None:
        for instance in system.instances.values():
            instance.held = True
        for instance in system.instances.values():
            instance.kill()
        for node in system.brokers.nodes:
            node.held = True
            node.kill()
        await asyncio.to_thread(system.postgres.kill)

    async def heal(self, system: System) -> None:
        async def processes() -> None:
            for instance in system.instances.values():
                instance.held = False

        async def kafka() -> None:
            for node in system.brokers.nodes:
                node.held = False
                system.brokers.launch(node)

        async def postgres() -> None:
            await asyncio.to_thread(system.postgres.start)

        parts = [processes, kafka, postgres]
        self.random.shuffle(parts)
        self.what = "back: " + ", ".join(part.__name__ for part in parts)
        for part in parts:
            await part()
        await system.brokers.until_ready()


class RollingRestart(Fault):
    """Each process is stopped and started again, one after the other."""

    name, touches = "rolling restart", frozenset(ROLES)
    seconds = (0.0, 0.0)

    async def inject(self, system: System) -> None:
        wanted = [one for one in system.instances.values() if one.is_wanted]
        self.random.shuffle(wanted)
        self.what = ", ".join(one.name for one in wanted)
        for one in wanted:
            await system.keeper.stop(one.name)
            one.is_wanted = True
            await asyncio.sleep(self.random.uniform(0.5, 2.0))

    async def heal(self, system: System) -> None:
        for one in system.instances.values():
            one.held = False


class Scale(Fault):
    """From one process of a role to three, and down to two."""

    name, touches = "scale 1, 3, 2", frozenset({"worker", "fetcher"})
    seconds = (4.0, 8.0)

    def __init__(self, random: Random) -> None:
        super().__init__(random)
        self.role = random.choice(("worker", "fetcher"))
        self.what = self.role

    async def inject(self, system: System) -> None:
        one, two, three = (system.instances[f"{self.role}-{number}"] for number in (1, 2, 3))
        one.is_wanted = True
        await system.keeper.stop(two.name, three.name)
        await asyncio.sleep(1.0)
        two.is_wanted = three.is_wanted = True

    async def heal(self, system: System) -> None:
        await system.keeper.stop(f"{self.role}-{self.random.choice((1, 2, 3))}")
