"""A worker's process: its stores, positions and timers. It may die at any instant and leave anything behind."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from agents.core.batch import Batch, Out
from agents.core.context import BatchContext, step
from agents.core.processor import Processor
from agents.core.timers import PartitionTimers
from agents.faust.order import check_order
from agents.faust.outbox import Outbox
from tables.row import due_of, generation_of, guard_of, next_generation
from tests.engine.local import LocalRecord, LocalTP
from tests.simulation.broker import Broker, Group, Member, Producer
from tests.simulation.fate import Fate, WrongClock
from topics.catalog import CHANGELOG, CONTROL_TOPICS
from topics.codec import encode
from topics.commands import TimerDue

BATCH_MAX = 6
POLLED_MAX = 3  # partitions whose records one poll brings


@dataclass
class Store:
    """RocksDB on a disk, one partition: survives the process. Whole up to `position`, an offset of the changelog."""

    values: dict[bytes, bytes] = field(default_factory=dict)
    position: int = 0

    def read(self, partition: int, key: bytes) -> bytes | None:
        return self.values.get(key)

    def write(self, changes: dict[bytes, bytes | None]) -> None:
        for key, value in changes.items():
            if value is None:
                self.values.pop(key, None)
            else:
                self.values[key] = value

    def restore(self, records: list[LocalRecord], has_guard: bool = True) -> None:
        """Changelog records behind the position; one with a lower guard is a frozen process's."""
        for record in records:
            assert record.key is not None
            before = self.values.get(record.key)
            is_old = before is not None and record.value is not None and guard_of(record.value) < guard_of(before)
            if not (is_old and has_guard):
                self.write({record.key: record.value})
            self.position = record.offset + 1

    def copy(self) -> "Store":
        return Store(dict(self.values), self.position)


Disk = dict[int, Store]


@dataclass(frozen=True)
class Protections:
    """What keeps the promise. Each is switched off in a build that the checker must catch.

    `one_flush_for_all`: without it, offsets are committed by transactions of Faust's `exactly_once`: one for each
    partition, holding its offsets and the records that go *to* it, so that what a partition sends elsewhere is not
    in its own.
    """

    flush_before_commit: bool = True
    one_flush_for_all: bool = True
    restore_guard: bool = True
    group_fence: bool = True
    run_fence: bool = True


class Worker:
    """One life of a process. `disk` outlives it, what it has handed over to nobody does not."""

    def __init__(
        self,
        name: str,
        broker: Broker,
        group: Group,
        disk: Disk,
        shell: Processor,
        fate: Fate,
        protections: Protections,
        handed_max: int,
    ) -> None:
        self.name = name
        self.disk = disk
        self.clock = WrongClock(broker.clock)
        self._broker = broker
        self._group = group
        self._shell = shell
        self._fate = fate
        self._protections = protections
        self._handed_max = handed_max
        self._producer = Producer(broker, name, self._note_delivered)
        self._timers = PartitionTimers()
        self._member = Member("", 0, 0, ())
        self._position: dict[LocalTP, int] = {}
        self._handled: dict[LocalTP, int] = {}
        self._delivered: dict[int, int] = {}
        self._generations: dict[int, int] = {}

    @property
    def held(self) -> tuple[int, ...]:
        """The partitions that it holds."""
        return self._member.partitions

    async def assign(self, member: Member) -> None:
        """Restore the stores, in pieces, then go on from the committed offsets."""
        self._member = member
        for partition in member.partitions:
            store = self.disk.setdefault(partition, Store())
            journal = LocalTP(CHANGELOG, partition)
            while records := self._broker.read(journal, store.position, BATCH_MAX * 4):
                store.restore(records, self._protections.restore_guard)
                self._fate.instant(self.name, f"while restoring {partition}")
        self._timers.rebuild(
            {
                partition: [(key.decode(), due_of(value)) for key, value in self.disk[partition].values.items()]
                for partition in member.partitions
            },
            self.clock.now_ms,
        )
        for partition in member.partitions:
            newest = max((generation_of(value) for value in self.disk[partition].values.values()), default=0)
            self._generations[partition] = next_generation(member.generation, self.clock.now_ms, newest)
        tps = [LocalTP(topic, partition) for topic in CONTROL_TOPICS for partition in member.partitions]
        self._position = {tp: self._group.committed[tp] for tp in tps}
        self._handled.clear()
        self._delivered.clear()

    async def revoke(self) -> None:
        """The batch in hand has ended; what is handled is committed, and nothing else is touched any more."""
        self._commit()
        self._position.clear()
        self._timers.rebuild({}, self.clock.now_ms)

    async def move(self) -> None:
        """One thing, of those that a worker does at the same time."""
        match self._fate.random.choices(("handle", "deliver", "commit", "tick"), (8, 4, 2, 1))[0]:
            case "handle" if self._position:
                tps = list(self._position)
                self._poll(self._fate.random.sample(tps, min(len(tps), self._fate.random.randint(1, POLLED_MAX))))
            case "deliver":
                self._producer.deliver_some(self._fate.random)
            case "commit":
                self._commit()
            case "tick":
                self._tick()

    async def drain(self) -> bool:
        """Everything that there is to do; False if there was nothing."""
        moved = self._tick()
        for tp in list(self._position):
            while self._poll([tp]):
                moved = True
        moved |= bool(self._producer.waiting())
        self._commit()
        self._producer.flush()
        return moved

    def die(self) -> None:
        self._producer.drop()

    def _poll(self, tps: Sequence[LocalTP]) -> bool:
        """Some records of some partitions: all of them into the stores, then the journal, then what follows."""
        outbox = Outbox()
        for tp in tps:
            self._decide(tp, outbox)
        for partition, journalled in outbox.changelog.items():
            for out in journalled:
                self._hand_over(LocalTP(CHANGELOG, partition), out)
        for target, outs in outbox.outputs.items():
            for out in outs:
                self._hand_over(LocalTP(*target), out)
        self._handled.update(outbox.handled)
        return bool(outbox.handled)

    def _decide(self, tp: LocalTP, outbox: Outbox) -> None:
        start = self._position[tp]
        records = self._broker.read(tp, start, self._fate.random.randint(1, BATCH_MAX))
        if not records:
            return
        check_order(start, records, tp.topic)
        self._fate.note(self.name, f"handles {tp.topic}/{tp.partition}@{start}..{records[-1].offset}")
        store = self.disk[tp.partition]
        batch = Batch(store, tp, records, self._generations[tp.partition])
        room = BatchContext(batch, self._broker.partition_of, self.name, self._handed_max)
        step(batch, room, self._shell)
        self._fate.instant(self.name, "after deciding")
        store.write(batch.changes)
        self._fate.instant(self.name, "after the store, before the journal")
        self._timers.update(tp.partition, room.deadlines.items(), self.clock.now_ms)
        self._position[tp] = records[-1].offset + 1
        outbox.add(batch)

    def _hand_over(self, tp: LocalTP, out: Out) -> None:
        self._producer.send(tp, out)
        if self._fate.happens(self._fate.deaths):
            self._producer.deliver_some(self._fate.random)  # some of it is there already
            self._fate.instant(self.name, f"while handing over to {tp.topic}/{tp.partition}")

    def _tick(self) -> bool:
        told = self._timers.pop_due(self.clock.now_ms)
        for partition, entries in told.items():
            for key, due in entries:
                command = TimerDue(workflow=key, due=due)
                self._producer.send(LocalTP(command.topic, partition), Out(key.encode(), encode(command)))
        return bool(told)

    def _commit(self) -> None:
        """Flush, tell the group how far everything is, and the store how far the broker has its journal."""
        if not self._protections.one_flush_for_all:
            self._commit_by_partition()
        elif self._protections.flush_before_commit:
            self._producer.deliver_some(self._fate.random)
            self._fate.instant(self.name, "while flushing")
            self._producer.flush()
            self._fate.instant(self.name, "after the flush, before the commit")
            if self._is_accepted(self._handled):
                self._fate.instant(self.name, "after the commit")
                self._persist()
        elif self._is_accepted(self._handled):
            self._fate.instant(self.name, "after the commit, before any flush")

    def _commit_by_partition(self) -> None:
        for partition in self._member.partitions:
            self._producer.flush([tp for tp in self._producer.waiting() if tp.partition == partition])
            self._is_accepted({tp: offset for tp, offset in self._handled.items() if tp.partition == partition})
            self._fate.instant(self.name, "between two transactions")
        self._producer.flush()
        self._persist()

    def _is_accepted(self, offsets: dict[LocalTP, int]) -> bool:
        if self._protections.group_fence:
            return self._group.commit(self._member, offsets)
        self._group.committed.update(offsets)
        return True

    def _persist(self) -> None:
        for partition, offset in self._delivered.items():
            self.disk[partition].position = offset + 1
        self._delivered.clear()

    def _note_delivered(self, tp: LocalTP, offset: int) -> None:
        if tp.topic == CHANGELOG:
            self._delivered[tp.partition] = offset
