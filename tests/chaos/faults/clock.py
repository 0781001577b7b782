"""Clocks: an hour on, an hour back."""

from tests.chaos.faults.fault import Fault
from tests.chaos.system import System

HOUR_SECONDS = 3_600


class ClocksOfProcesses(Fault):
    """Our processes, or some of them, see another time of day; the broker's, by which they decide, is right."""

    name, touches = "clock of processes an hour off", frozenset({"clock"})
    seconds = (4.0, 12.0)
    needs = "clocks"

    async def inject(self, system: System) -> None:
        seconds = self.random.choice((HOUR_SECONDS, -HOUR_SECONDS))
        roles = self.random.choice((("worker",), ("fetcher",), ("worker", "fetcher", "projector")))
        self.what = f"{seconds // 60:+d} min: {', '.join(roles)}"
        for name, instance in system.instances.items():
            if instance.role in roles:
                system.clocks.move(name, seconds)

    async def heal(self, system: System) -> None:
        for name in system.instances:
            system.clocks.move(name, 0)


class ClockOfBroker(Fault):
    """The clock that the deciders live by is set an hour back, and right again."""

    name, touches = "clock of brokers an hour back", frozenset({"clock", "kafka"})
    seconds = (4.0, 12.0)
    needs = "clocks"
    off_seconds = -HOUR_SECONDS

    async def inject(self, system: System) -> None:
        self._move(system, self.off_seconds)

    async def heal(self, system: System) -> None:
        self._move(system, 0)

    def _move(self, system: System, seconds: int) -> None:
        for node in system.brokers.nodes:
            system.clocks.move(node.name, seconds)


class ClockOfBrokerOn(ClockOfBroker):
    """The clock that the deciders live by is set an hour on, and right again: deadlines come an hour too late."""

    name = "clock of brokers an hour on"
    off_seconds = HOUR_SECONDS

    async def heal(self, system: System) -> None:
        """Where there are several, each is restarted, as its operator has to: a broker whose clock was put back waits
        with connecting to another controller until it shows the time of its last attempt."""
        await super().heal(system)
        if len(system.brokers.nodes) > 1:
            for node in system.brokers.nodes:
                await system.brokers.restart(node)
