"""A worker's process: its stores, positions and timers. It may die at any crash point and leave anything behind."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from agents.core.batch import Batch, Out
from agents.core.context import BatchContext
from agents.core.outbox import Outbox, check_order
from agents.core.processor import Processor, process_batch, resend_pending
from agents.core.reading import LostRecords, begin_reading
from agents.core.timers import PartitionTimers
from tables.logs import KEY as LOGS_KEY
from tables.logs import SourceLogs, decode_logs, encode_logs
from tables.requests import is_request_log
from tables.row import Deadline, deadline_of, epoch_of, guard_of, next_epoch
from tests.engine.broker import LogPartition, LogRecord, Member, Producer
from tests.engine.process import Process
from topics.catalog import CHANGELOG
from topics.codec import encode
from topics.command import TimerDue

BATCH_MAX = 6
POLLED_MAX = 3  # partitions whose records one poll brings


@dataclass
class Store:
    """RocksDB on a disk, one partition: survives the process. Whole up to `position`, an offset of the changelog."""

    values: dict[bytes, bytes] = field(default_factory=dict)
    position: int = 0

    def read(self, partition: int, key: bytes) -> bytes | None:
        return self.values.get(key)

    def write(self, changes: Mapping[bytes, bytes | None]) -> None:
        for key, value in changes.items():
            if value is None:
                self.values.pop(key, None)
            else:
                self.values[key] = value

    def restore(self, records: Sequence[LogRecord], has_guard: bool = True) -> None:
        """Changelog records behind the position; one with a lower guard is a frozen process's."""
        for record in records:
            assert record.key is not None
            before = self.values.get(record.key)
            is_old = before is not None and record.value is not None and guard_of(record.value) < guard_of(before)
            if not (is_old and has_guard):
                self.write({record.key: record.value})
            self.position = record.offset + 1

    def deadlines(self) -> list[tuple[str, Deadline]]:
        workflows = ((key, value) for key, value in self.values.items() if not is_request_log(key))
        found = ((key.decode(), deadline_of(value)) for key, value in workflows)
        return [(key, deadline) for key, deadline in found if deadline is not None]

    def workflows(self) -> dict[str, bytes]:
        beside = {key for key in self.values if is_request_log(key)} | {LOGS_KEY}
        return {key.decode(): value for key, value in self.values.items() if key not in beside}

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


@dataclass(eq=False)
class Worker(Process):
    """`disk` outlives it, what it has not published does not. `deliveries` is how often each batch is delivered."""

    disk: Disk
    processor: Processor
    protections: Protections
    deliveries: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        self.timers = PartitionTimers()
        self._producer = Producer(self.broker, self.name, self._note_delivered)
        self._handled: dict[LogPartition, int] = {}
        self._delivered: dict[int, int] = {}
        self._epochs: dict[int, int] = {}
        self.lost: list[LostRecords] = []

    async def assign(self, member: Member) -> None:
        """Restore the stores, in pieces, then continue from the committed offsets."""
        for partition in member.partitions:
            store = self.disk.setdefault(partition, Store())
            journal = LogPartition(CHANGELOG, partition)
            while records := self.broker.read(journal, store.position, BATCH_MAX * 4):
                store.restore(records, self.protections.restore_guard)
                self.faults.crash_point(self.name, f"while restoring {partition}")
            newest = max((epoch_of(value) for value in store.values.values()), default=0)
            self._epochs[partition] = next_epoch(member.generation, self.clock.now_ms, newest)
        self.timers.rebuild({one: self.disk[one].deadlines() for one in member.partitions}, self.clock.now_ms)
        self.hold(member, self.processor.registry.catalog.control)
        self._handled.clear()
        self._delivered.clear()
        for tp in self.position:
            self._begin_reading(tp)

    def _begin_reading(self, tp: LogPartition) -> None:
        """From the committed offset on; what is known of the log is in the journal before any record of it is read."""
        logs, workflows = self._logs(tp), self.disk[tp.partition].workflows()
        found = self.broker.find_log(tp, logs.log(tp.topic).leader_epoch)
        reached = logs.reached(workflows.values()).get(tp.topic, 0)
        self.position[tp], after, lost = begin_reading(logs, *tp, found, self.group.committed.get(tp), reached)
        self._handled.pop(tp, None)
        if lost is not None:
            self.lost.append(lost)
            self._resend_pending(tp)
        if after.since(tp.topic) != logs.since(tp.topic) or lost is not None:
            self._handled[tp] = self.position[tp]
            self._commit()  # an offset of another log must not be met beside what is known of this one
        self._put_logs(tp, logs, after)

    def _logs(self, tp: LogPartition) -> SourceLogs:
        noted = self.disk[tp.partition].read(tp.partition, LOGS_KEY)
        return SourceLogs() if noted is None else decode_logs(noted)

    def _put_logs(self, tp: LogPartition, before: SourceLogs, after: SourceLogs) -> None:
        if after is before:
            return
        self.faults.note(self.name, f"knows other logs of {tp.partition}: {after.logs[tp.topic]}")
        value = encode_logs(msgspec.structs.replace(after, epoch=self._epochs[tp.partition]))
        self.disk[tp.partition].write({LOGS_KEY: value})
        self.faults.crash_point(self.name, "after the store, before the journal has the logs")
        self._publish(LogPartition(CHANGELOG, tp.partition), Out(LOGS_KEY, value))
        self._producer.flush()

    def _resend_pending(self, tp: LogPartition) -> None:
        self.faults.note(self.name, f"asks again for all that {tp.partition} waits for: {self.lost[-1]}")
        store = self.disk[tp.partition]
        batch = Batch(store, tp, (), self._epochs[tp.partition])
        context = BatchContext(batch, self.processor.registry, self.broker.partition_of, self.name)
        resend_pending(store.workflows(), context, self.processor)
        for target, outs in batch.outputs.items():
            for out in outs:
                self._publish(LogPartition(*target), out)

    async def revoke(self) -> None:
        """The batch in hand has ended; what is handled is committed, and nothing else is touched any more."""
        self._commit()
        await super().revoke()
        self.timers.rebuild({}, self.clock.now_ms)

    async def move(self) -> None:
        match self.faults.random.choices(("handle", "deliver", "commit", "tick"), (8, 4, 2, 1))[0]:
            case "handle" if self.position:
                tps = list(self.position)
                most = self.faults.random.randint(1, POLLED_MAX)
                self._poll(self.faults.random.sample(tps, min(len(tps), most)))
            case "deliver":
                self._producer.deliver_some(self.faults.random)
            case "commit":
                self._commit()
            case "tick":
                self._tick()

    async def drain(self) -> bool:
        moved = self._tick()
        for tp in list(self.position):
            self._check_log(tp)
            while self.position[tp] < len(self.broker.logs[tp]):
                self._poll([tp])
                moved = True
        moved |= bool(self._producer.waiting())
        self._commit()
        self._producer.flush()
        return moved

    def die(self) -> None:
        self._producer.drop()

    def _poll(self, tps: Sequence[LogPartition]) -> None:
        """Some records of some partitions: all of them into the stores, then the journal, then what follows."""
        outbox = Outbox()
        for tp in tps:
            self._decide(tp, outbox)
        for partition, journalled in outbox.changelog.items():
            for out in journalled:
                self._publish(LogPartition(CHANGELOG, partition), out)
        for target, outs in outbox.outputs.items():
            for out in outs:
                self._publish(LogPartition(*target), out)
        self._handled.update(outbox.handled)

    def _decide(self, tp: LogPartition, outbox: Outbox) -> None:
        self._check_log(tp)
        start = self.position[tp]
        records = self.broker.read(tp, start, self.faults.random.randint(1, BATCH_MAX))
        if not records:
            return
        check_order(start, records, tp.topic)
        self.faults.note(self.name, f"handles {tp.topic}/{tp.partition}@{start}..{records[-1].offset}")
        store = self.disk[tp.partition]
        for _ in range(self.deliveries):
            batch = Batch(store, tp, records, self._epochs[tp.partition])
            context = BatchContext(batch, self.processor.registry, self.broker.partition_of, self.name)
            process_batch(batch, context, self.processor)
            self.faults.crash_point(self.name, "after deciding")
            store.write(batch.changes)
            self.faults.crash_point(self.name, "after the store, before the journal")
            context.update_timers(self.timers.of(tp.partition), self.clock.now_ms)
            outbox.add(batch)
        self.position[tp] = records[-1].offset + 1

    def _check_log(self, tp: LogPartition) -> None:
        """Begin anew where the log is another one, or lost what comes next; else note its leader."""
        logs = self._logs(tp)
        found = self.broker.find_log(tp, logs.log(tp.topic).leader_epoch)
        after = logs.finding(tp.topic, found, self.position[tp])
        if after.since(tp.topic) != logs.since(tp.topic) or not self.broker.has_offset(tp, self.position[tp]):
            self._begin_reading(tp)
        else:
            self._put_logs(tp, logs, after)

    def _publish(self, tp: LogPartition, out: Out) -> None:
        self._producer.send(tp, out)
        where = f"while publishing to {tp.topic}/{tp.partition}"
        self.faults.publishing(self.name, where, lambda: self._producer.deliver_some(self.faults.random))

    def _tick(self) -> bool:
        passed = self.timers.pop_due(self.clock.now_ms)
        for partition, entries in passed.items():
            for key, due in entries:
                command = TimerDue(workflow=key, due=due)
                self._producer.send(LogPartition(command.topic, partition), Out(key.encode(), encode(command)))
        return bool(passed)

    def _commit(self) -> None:
        """Flush, commit the offsets, and note in the stores how far the broker has the journal."""
        if not self.protections.one_flush_for_all:
            self._commit_by_partition()
        elif self.protections.flush_before_commit:
            self._producer.deliver_some(self.faults.random)
            self.faults.crash_point(self.name, "while flushing")
            self._producer.flush()
            self.faults.crash_point(self.name, "after the flush, before the commit")
            if self._is_accepted(self._handled):
                self.faults.crash_point(self.name, "after the commit")
                self._persist()
        elif self._is_accepted(self._handled):
            self.faults.crash_point(self.name, "after the commit, before any flush")

    def _commit_by_partition(self) -> None:
        for partition in self.member.partitions:
            self._producer.flush([tp for tp in self._producer.waiting() if tp.partition == partition])
            self._is_accepted({tp: offset for tp, offset in self._handled.items() if tp.partition == partition})
            self.faults.crash_point(self.name, "between two transactions")
        self._producer.flush()
        self._persist()

    def _is_accepted(self, offsets: dict[LogPartition, int]) -> bool:
        if self.protections.group_fence:
            return self.group.commit(self.member, offsets)
        self.group.committed.update(offsets)
        return True

    def _persist(self) -> None:
        for partition, offset in self._delivered.items():
            self.disk[partition].position = offset + 1
        self._delivered.clear()

    def _note_delivered(self, tp: LogPartition, offset: int) -> None:
        if tp.topic == CHANGELOG:
            self._delivered[tp.partition] = offset
