"""One life of a process, of any role: what it holds, and how far it has read."""

from collections.abc import Sequence
from dataclasses import dataclass

from tests.engine.broker import Broker, Group, LogPartition, LogRecord, Member
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
        self.position = {tp: self.group.committed.get(tp, 0) for tp in tps}

    def read(self, tp: LogPartition, most: int) -> list[LogRecord]:
        """The next records: from the log's beginning, where it does not have the position."""
        if not self.broker.has_offset(tp, self.position[tp]):
            self.position[tp] = self.broker.begins[tp]
        return self.broker.read(tp, self.position[tp], most)

    async def assign(self, member: Member) -> None: ...

    async def revoke(self) -> None:
        self.position.clear()

    async def move(self) -> None:
        """One thing, of those that it does at the same time."""

    async def drain(self) -> bool:
        """Everything that there is to do; False if there was nothing."""
        raise NotImplementedError

    def die(self) -> None: ...
