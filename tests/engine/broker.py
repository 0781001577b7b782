"""The broker in memory: partitioned logs, consumer groups, and what a producer has sent that has not arrived yet.

Behaves as the real one was measured to; `tests/acceptance/test_conformance.py` runs the same script against both.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from random import Random
from typing import NamedTuple
from zlib import crc32

from agents.core.batch import Out
from tables.logs import FoundLog
from tests.engine.clock import MovableClock
from topics.ids import partition_key


class LogRecord(NamedTuple):
    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]


class LogPartition(NamedTuple):
    topic: str
    partition: int


Delivered = Callable[[LogPartition, int], None]


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
        self.committed: dict[LogPartition, int] = defaultdict(int)
        self._members: dict[str, Member] = {}
        self._joins = 0

    def rebalance(self, assignment: Mapping[str, Sequence[int]]) -> Mapping[str, Member]:
        """Every member has joined anew; one that is not among them is out."""
        self.generation += 1
        self._members = {name: self._joined(name, partitions) for name, partitions in assignment.items()}
        return self._members

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self._members)

    def rejoin(self, name: str) -> Member:
        self._members[name] = self._joined(name, self._members[name].partitions)
        return self._members[name]

    def commit(self, member: Member, offsets: Mapping[LogPartition, int]) -> bool:
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
    """What is in a log stays, in its order, with the broker's time. `written_by` names the writer of each.

    Compaction takes records from readers; the log keeps them, for the checks. `leaders`: the offset at which each
    leader of a partition began.

    Its clock is wrong by `skew_ms`. With `spreads_workflows` every workflow has a partition of its own, as those of
    different connections do: then nothing is delivered locally.
    """

    clock: MovableClock
    partitions: int
    spreads_workflows: bool = False
    skew_ms: int = 0
    logs: dict[LogPartition, list[LogRecord]] = field(default_factory=lambda: defaultdict(list))
    written_by: dict[LogPartition, list[str]] = field(default_factory=lambda: defaultdict(list))
    begins: dict[LogPartition, int] = field(default_factory=lambda: defaultdict(int))
    incarnations: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    leaders: dict[LogPartition, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0]))
    _compacted: dict[LogPartition, set[int]] = field(default_factory=lambda: defaultdict(set))

    def partition_of(self, key: str) -> int:
        return crc32((key if self.spreads_workflows else partition_key(key)).encode()) % self.partitions

    def append(self, tp: LogPartition, out: Out, by: str = "a client") -> int:
        """The record's offset."""
        log = self.logs[tp]
        at = self.clock.now_ms + self.skew_ms
        log.append(LogRecord(*tp, len(log), at, out.key, out.value, tuple(out.headers)))
        self.written_by[tp].append(by)
        return len(log) - 1

    def read(self, tp: LogPartition, offset: int, most: int | None = None) -> list[LogRecord]:
        assert self.has_offset(tp, offset), "a reader continues from the log's beginning"
        gone = self._compacted.get(tp, ())
        found = (record for record in islice(self.logs[tp], offset, None) if record.offset not in gone)
        return list(islice(found, most))

    def compact(self, tp: LogPartition, end: int) -> int:
        """Of each key only the last record before `end` stays; how many went."""
        found = self.read(tp, 0)
        last = {record.key: record.offset for record in found if record.offset < end}
        gone = {record.offset for record in found if record.offset < last.get(record.key, 0)}
        self._compacted[tp] |= gone
        return len(gone)

    def offset_of(self, tp: LogPartition, oldest_ms: int) -> int:
        """The offset of the first record that is not older, and still there."""
        log = self.logs[tp][self.begins[tp] :]
        return next((record.offset for record in log if record.timestamp >= oldest_ms), len(self.logs[tp]))

    def find_log(self, tp: LogPartition, leader_epoch: int | None) -> FoundLog:
        """The log, after it had the leader of this epoch."""
        end, leaders = len(self.logs[tp]), self.leaders[tp]
        kept = None if leader_epoch is None else [*leaders, end][leader_epoch + 1]
        return FoundLog(f"{tp.topic}-{self.incarnations[tp.topic]}", self.begins[tp], end, len(leaders) - 1, kept)

    def has_offset(self, tp: LogPartition, offset: int) -> bool:
        """Whether a reader may continue from there."""
        return self.begins[tp] <= offset <= len(self.logs[tp])

    def delete_before(self, tp: LogPartition, offset: int) -> None:
        """What retention does, and an operator who deletes records; no longer to be read, but still in `logs`."""
        self.begins[tp] = max(self.begins[tp], offset)

    def truncate(self, tp: LogPartition, end: int) -> None:
        """The log loses its end, as in an unclean election; the next record takes the first offset that is free."""
        del self.logs[tp][end:], self.written_by[tp][end:]
        self.elect(tp)

    def elect(self, tp: LogPartition) -> None:
        """The partition has another leader."""
        self.leaders[tp] = [min(begin, len(self.logs[tp])) for begin in (*self.leaders[tp], len(self.logs[tp]))]

    def recreate(self, topic: str, groups: Iterable["Group"]) -> None:
        """The topic is deleted, and with it the groups' offsets in it, and created again."""
        self.incarnations[topic] += 1
        for tp in [tp for tp in self.logs if tp.topic == topic]:
            del self.logs[tp], self.written_by[tp]
            self.begins.pop(tp, None)
            self.leaders.pop(tp, None)
        for group in groups:
            for tp in [tp for tp in group.committed if tp.topic == topic]:
                del group.committed[tp]

    def topic(self, name: str) -> list[LogRecord]:
        """All of a topic, partition by partition."""
        return [record for number in range(self.partitions) for record in self.logs[LogPartition(name, number)]]


class Producer:
    """Records on their way: in order within a partition, in any order between two. A crash loses what is not there.

    `delivered` hears of each record that has arrived.
    """

    def __init__(self, broker: Broker, name: str, delivered: Delivered = lambda tp, offset: None) -> None:
        self._broker = broker
        self._name = name
        self._delivered = delivered
        self._waiting: dict[LogPartition, list[Out]] = {}

    def send(self, tp: LogPartition, out: Out) -> None:
        self._waiting.setdefault(tp, []).append(out)

    def deliver_some(self, random: Random) -> None:
        """Of each partition some first part arrives."""
        for tp, outs in list(self._waiting.items()):
            self._deliver(tp, random.randint(0, len(outs)))

    def flush(self, tps: Sequence[LogPartition] | None = None) -> None:
        for tp in list(self._waiting) if tps is None else tps:
            self._deliver(tp, len(self._waiting.get(tp, ())))

    def drop(self) -> None:
        self._waiting.clear()

    def waiting(self) -> list[LogPartition]:
        return list(self._waiting)

    def _deliver(self, tp: LogPartition, count: int) -> None:
        outs = self._waiting.get(tp, [])
        for out in outs[:count]:
            self._delivered(tp, self._broker.append(tp, out, self._name))
        del outs[:count]
        if not outs:
            self._waiting.pop(tp, None)
