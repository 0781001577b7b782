"""A worker's process: its stores, positions and timers. It may die at any crash point and leave anything behind."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import msgspec

from agents.core.batch import Batch, Out
from agents.core.context import BatchContext
from agents.core.outbox import Outbox, check_order
from agents.core.processor import Processor, process_batch, resend_pending
from agents.core.reading import LostRecords, begin_reading
from agents.core.timers import PartitionTimers
from tables.changelog import Changelog, tombstone_headers, under_epoch
from tables.logs import KEY as LOGS_KEY
from tables.logs import FirstRecord, SourceLogs, decode_logs, encode_logs, under
from tables.row import next_epoch
from tests.engine.broker import LogPartition, LogRecord, Member, Producer
from tests.engine.faults import Died
from tests.engine.process import Process
from tests.engine.protections import Protections
from tests.engine.store import Disk, Store, Unguarded
from topics.catalog import CHANGELOG
from topics.codec import encode
from topics.command import TimerDue
from topics.errors import Broken

BATCH_MAX = 6
TAIL_LOOKS = 2  # the second reads up to where the first found the end
POLLED_MAX = 3  # partitions whose records one poll brings


@dataclass(eq=False)
class Worker(Process):
    """`disk` outlives it, what it has not published does not. `deliveries` is how often each batch is delivered.

    `meanwhile` is what others do between the end of its restore and the begin of its epoch.
    """

    disk: Disk
    processor: Processor
    protections: Protections
    deliveries: int = 1
    meanwhile: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.timers = PartitionTimers()
        self._producer = Producer(self.broker, self.name, self._note_delivered)
        self._handled: dict[LogPartition, int] = {}
        self._changelogs: dict[int, Changelog] = {}
        self._ends: dict[int, int] = {}
        self.lost: list[LostRecords] = []
        self.begun: dict[tuple[int, int], int] = {}  # by partition and epoch: how far it knew the journal then

    async def assign(self, member: Member) -> None:
        """Restore the stores, in pieces, then continue from the committed offsets."""
        self._changelogs, self._ends = {}, {}
        for partition in member.partitions:
            store = self.disk.setdefault(partition, Store())
            self._changelogs[partition] = changelog = self._restored(partition, store)
            self._begin_epoch(LogPartition(CHANGELOG, partition), store, changelog, member.generation)
            self.begun[partition, changelog.epoch] = changelog.known
        self.timers.rebuild({one: self.disk[one].deadlines() for one in member.partitions}, self.clock.now_ms)
        self.hold(member, self.processor.registry.catalog.control)
        self._handled.clear()
        for tp in self.position:
            self._begin_reading(tp)

    def _begin_epoch(self, journal: LogPartition, store: Store, changelog: Changelog, generation: int) -> None:
        """As agents.faust.takeover does."""
        while True:
            self.meanwhile()
            epoch = next_epoch(generation, self.clock.now_ms, changelog.epoch)
            value = under(store.values.get(LOGS_KEY), epoch)
            if not self.protections.epochs_begin_in_journal:
                store.epoch = changelog.epoch = epoch
                break
            first = FirstRecord(value, self.broker.append(journal, Out(LOGS_KEY, value), self.name))
            self.meanwhile()
            self.faults.crash_point(self.name, "after the first record of its epoch")
            behind = self.broker.read(journal, changelog.known)
            store.restore([one for one in behind if one.offset < first.offset], changelog)
            if changelog.may_begin(epoch):
                store.restore([first], changelog)
                break
        changelog.begin()

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
        value = encode_logs(msgspec.structs.replace(after, epoch=self._changelogs[tp.partition].epoch))
        self.disk[tp.partition].write({LOGS_KEY: value})
        self.faults.crash_point(self.name, "after the store, before the journal has the logs")
        self._publish(LogPartition(CHANGELOG, tp.partition), Out(LOGS_KEY, value))
        self._producer.flush()

    def _resend_pending(self, tp: LogPartition) -> None:
        self.faults.note(self.name, f"asks again for all that {tp.partition} waits for: {self.lost[-1]}")
        store = self.disk[tp.partition]
        batch = Batch(store, tp, (), self._changelogs[tp.partition].epoch)
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

    def _restored(self, partition: int, store: Store) -> Changelog:
        journal = LogPartition(CHANGELOG, partition)
        changelog = store.changelog() if self.protections.restore_guard else Unguarded(0, store.position)
        while records := self.broker.read(journal, changelog.known, BATCH_MAX * 4):
            store.restore(records, changelog)
            self.faults.crash_point(self.name, f"while restoring {partition}")
        return changelog

    async def move(self) -> None:
        match self.faults.random.choices(("handle", "deliver", "commit", "tick", "tail"), (8, 4, 2, 1, 1))[0]:
            case "handle" if self.position:
                tps = list(self.position)
                most = self.faults.random.randint(1, POLLED_MAX)
                self.poll(self.faults.random.sample(tps, min(len(tps), most)))
            case "deliver":
                self.send_some()
            case "commit":
                self._commit()
            case "tick":
                self._tick()
            case "tail":
                self.look_at_tails()

    async def drain(self) -> bool:
        moved = self._tick()
        for tp in list(self.position):
            self._check_log(tp)
            while self.position[tp] < len(self.broker.logs[tp]):
                self.poll([tp])
                moved = True
        moved |= bool(self._producer.waiting())
        self._commit()
        self._producer.flush()
        return self.look_at_tails() or moved

    async def let_tails_settle(self) -> None:
        """The pause before a look passes several times."""
        for _ in range(TAIL_LOOKS):
            self.look_at_tails()
            self._producer.flush([tp for tp in self._producer.waiting() if tp.topic == CHANGELOG])

    def send_some(self) -> None:
        """Of what it has published to each partition some first part arrives."""
        self._producer.deliver_some(self.faults.random)

    def send_all(self) -> None:
        self._producer.flush()

    def die(self) -> None:
        self._producer.drop()

    def poll(self, tps: Sequence[LogPartition]) -> None:
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
            batch = Batch(store, tp, records, self._changelogs[tp.partition].epoch)
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
        for partition, changelog in self._changelogs.items():
            self.disk[partition].note(changelog)
            self.disk[partition].let_deleted_go()

    def _note_delivered(self, tp: LogPartition, offset: int) -> None:
        if tp.topic == CHANGELOG and tp.partition in self._changelogs:
            self._changelogs[tp.partition].note_delivered(offset, offset)

    def look_at_tails(self) -> bool:
        """As agents.faust.tail does."""
        if not self.protections.overtaking:
            return False
        has_put = False
        for partition, changelog in self._changelogs.items():
            journal, store = LogPartition(CHANGELOG, partition), self.disk[partition]
            if changelog.known < self._ends.get(partition, 0):
                self._fold_tail(changelog, self.broker.read(journal, changelog.known), store)
            for key in changelog.overtaken:
                value = store.read(partition, key)
                if value is None:
                    self._publish(journal, Out(key, None, tombstone_headers(changelog.epoch, 0)))
                else:
                    store.write({key: under_epoch(value, changelog.epoch)})
                    self._publish(journal, Out(key, store.values[key]))
                self.faults.note(self.name, f"puts {key.decode()} again")
                has_put = True
            changelog.note_put_again()
            self._ends[partition] = len(self.broker.logs[journal])
        return has_put

    def _fold_tail(self, changelog: Changelog, records: Sequence[LogRecord], store: Store) -> None:
        try:
            changelog.fold(records, partial(store.read, 0))
        except Broken:
            self.faults.note(self.name, "finds that it was cut off")
            raise Died from None
        changelog.note_read(changelog.known)
