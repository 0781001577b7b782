"""One life of a process, of any role: what it holds, and how far it has read."""

from collections.abc import Sequence
from dataclasses import dataclass

from tests.engine.broker import Broker, Group, LogPartition, Member
from tests.engine.clock import SkewedClock
from tests.engine.faults import Faults


@dataclass(eq=False)
class Process:
    """Any of its moves may end it: Died. Whatever it had in hand is delivered again to another one."""

    name: str
    broker: Broker
    group: Group
    faults: Faults

    def __post_init__(self) -> None:
        self.clock = SkewedClock(self.broker.clock)
        self.member = Member("", 0, 0, ())
        self.position: dict[LogPartition, int] = {}

    def hold(self, member: Member, topics: Sequence[str]) -> None:
        """Continue from the committed offsets."""
        self.member = member
        tps = [LogPartition(topic, partition) for topic in topics for partition in member.partitions]
        self.position = {tp: self.group.committed[tp] for tp in tps}

    async def assign(self, member: Member) -> None: ...

    async def revoke(self) -> None:
        self.position.clear()

    async def move(self) -> None:
        """One thing, of those that it does at the same time."""

    async def drain(self) -> bool:
        """Everything that there is to do; False if there was nothing."""
        raise NotImplementedError

    def die(self) -> None: ...
