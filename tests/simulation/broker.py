"""The broker: partitioned logs, consumer groups, and what a producer has handed over but not yet got there.

Behaves as the real one was measured to; `tests/acceptance/test_conformance.py` runs the same script against both.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from zlib import crc32

from agents.core.batch import Out
from tests.engine.local import LocalRecord, LocalTP, MovableClock
from topics.ids import partition_key

Told = Callable[[LocalTP, int], None]


@dataclass(frozen=True)
class Member:
    """A process in a group, as the group knows it. `number` is new with each join, the static `name` is not."""

    name: str
    number: int
    generation: int
    partitions: tuple[int, ...]


class Group:
    """Static membership: a known name that joins again keeps partitions and generation, and fences its old self."""

    def __init__(self) -> None:
        self.generation = 0
        self.committed: dict[LocalTP, int] = defaultdict(int)
        self._members: dict[str, Member] = {}
        self._joins = 0

    def rebalance(self, assignment: Mapping[str, Sequence[int]]) -> Mapping[str, Member]:
        """Every member has joined anew; whoever is not among them is out."""
        self.generation += 1
        self._members = {name: self._joined(name, partitions) for name, partitions in assignment.items()}
        return self._members

    def rejoin(self, name: str) -> Member:
        self._members[name] = self._joined(name, self._members[name].partitions)
        return self._members[name]

    def commit(self, member: Member, offsets: Mapping[LocalTP, int]) -> bool:
        """All or nothing; refused to a member that was fenced, expelled or is of an older generation."""
        if self._members.get(member.name) != member:
            return False
        self.committed.update(offsets)
        return True

    def _joined(self, name: str, partitions: Sequence[int]) -> Member:
        self._joins += 1
        return Member(name, self._joins, self.generation, tuple(partitions))


@dataclass
class Broker:
    """What is in a log stays, in its order, with the broker's time. `written_by` tells whose each record was.

    Its clock is wrong by `skew_ms`.
    """

    clock: MovableClock
    partitions: int
    skew_ms: int = 0
    logs: dict[LocalTP, list[LocalRecord]] = field(default_factory=lambda: defaultdict(list))
    written_by: dict[LocalTP, list[str]] = field(default_factory=lambda: defaultdict(list))

    def partition_of(self, key: str) -> int:
        return crc32(partition_key(key).encode()) % self.partitions

    def append(self, tp: LocalTP, out: Out, by: str = "a client") -> int:
        """The record's offset."""
        log = self.logs[tp]
        log.append(
            LocalRecord(*tp, len(log), self.clock.now_ms + self.skew_ms, out.key, out.value, tuple(out.headers)),
        )
        self.written_by[tp].append(by)
        return len(log) - 1

    def read(self, tp: LocalTP, offset: int, most: int | None = None) -> list[LocalRecord]:
        end = None if most is None else offset + most
        return self.logs[tp][offset:end]

    def end(self, tp: LocalTP) -> int:
        return len(self.logs[tp])

    def topic(self, name: str) -> list[LocalRecord]:
        """All of a topic, partition by partition."""
        return [record for number in range(self.partitions) for record in self.logs[LocalTP(name, number)]]


class Producer:
    """Records on their way: in order within a partition, in any order between two. A crash loses what is not there.

    `told` hears of each record that has arrived.
    """

    def __init__(self, broker: Broker, name: str, told: Told = lambda tp, offset: None) -> None:
        self._broker = broker
        self._name = name
        self._told = told
        self._waiting: dict[LocalTP, list[Out]] = {}

    def send(self, tp: LocalTP, out: Out) -> None:
        self._waiting.setdefault(tp, []).append(out)

    def deliver_some(self, random: Random) -> None:
        """The network takes what it takes: of each partition some first part."""
        for tp, outs in list(self._waiting.items()):
            self._deliver(tp, random.randint(0, len(outs)))

    def flush(self, tps: Sequence[LocalTP] | None = None) -> None:
        for tp in list(self._waiting) if tps is None else tps:
            self._deliver(tp, len(self._waiting.get(tp, ())))

    def drop(self) -> None:
        self._waiting.clear()

    def waiting(self) -> list[LocalTP]:
        return list(self._waiting)

    def _deliver(self, tp: LocalTP, count: int) -> None:
        outs = self._waiting.get(tp, [])
        for out in outs[:count]:
            self._told(tp, self._broker.append(tp, out, self._name))
        del outs[:count]
        if not outs:
            self._waiting.pop(tp, None)
