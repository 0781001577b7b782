"""A fetcher's process: commands in fair turns, acknowledged in order, several in flight at once."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from agents.activities.actions import Activity
from agents.activities.database import Database
from agents.activities.fetch import LeaseReader
from agents.activities.runner import ActivityRunner
from agents.core.batch import Out
from agents.core.context import dead_letter, read_command
from agents.core.registry import Registry
from manifests.entity import Adapter
from service.fetcher.scheduler import FairQueue, OffsetTracker
from tests.engine.broker import Broker, Group, LogPartition, LogRecord, Member
from tests.engine.clock import SkewedClock
from tests.engine.faults import Faults, Gate, spin
from tests.engine.outside import Api, AuditedSink, FlakySink, FlakySource, begun
from topics.catalog import DEAD_LETTERS
from topics.codec import encode, headers, trace_in, trace_of
from topics.command import Command
from topics.dead_letters import to_record
from topics.errors import Rejected
from topics.ids import run_id
from topics.kinds.entity import FetchPages

POLL_MAX = 3
IN_FLIGHT_MAX = 4
PER_CONNECTION_MAX = 2
DRAIN_STEPS_MAX = 100_000


@dataclass(frozen=True)
class InFlight:
    tp: LogPartition
    record: LogRecord
    command: Command


class Fetcher:
    """One life of a process. It owns no state: whatever it had in hand is delivered again to another one.

    `deliveries` is how often each command is worked on.
    """

    def __init__(
        self,
        name: str,
        broker: Broker,
        group: Group,
        registry: Registry,
        sink: AuditedSink,
        api: Api,
        adapters: Mapping[str, Adapter],
        faults: Faults,
        activities: Mapping[str, Activity] | None = None,
        deliveries: int = 1,
    ) -> None:
        self.name = name
        self.clock = SkewedClock(broker.clock)
        self._broker = broker
        self._group = group
        self._registry = registry
        self._sink = sink
        self._faults = faults
        self._deliveries = deliveries
        self._gate = Gate(faults, broker.clock)
        database = Database(FlakySink(name, sink, faults, self._gate), self._gate.through)
        reader = LeaseReader(FlakySource(name, api, faults, self._gate), database, adapters, self.clock)
        self._runner = ActivityRunner(reader, database, activities)
        self._member = Member("", 0, 0, ())
        self._position: dict[LogPartition, int] = {}
        self._trackers: dict[LogPartition, OffsetTracker] = {}
        self._queue: FairQueue[InFlight] = FairQueue(PER_CONNECTION_MAX)
        self._tasks: dict[asyncio.Task[None], InFlight] = {}
        self._ids: set[str] = set()

    async def assign(self, member: Member) -> None:
        self._member = member
        data = self._registry.catalog.data
        tps = [LogPartition(topic, partition) for topic in data for partition in member.partitions]
        self._position = {tp: self._group.committed[tp] for tp in tps}
        self._trackers = {tp: OffsetTracker() for tp in tps}

    async def revoke(self) -> None:
        """Another process continues from the last commit: stop at once."""
        self._cancel()
        await spin()
        self._commit()
        self._position.clear()

    async def move(self) -> None:
        match self._faults.random.choices(("poll", "step", "commit"), (3, 8, 1))[0]:
            case "poll" if self._position:
                self._poll(self._faults.random.choice(list(self._position)))
                await spin()
            case "step":
                await self._step()
            case "commit":
                self._commit()

    async def drain(self) -> bool:
        """Everything that there is to do; False if there was nothing."""
        moved = bool(self._tasks)
        for tp in self._position:
            while self._poll(tp):
                moved = True
        await spin()
        for _ in range(DRAIN_STEPS_MAX):
            if not self._tasks:
                self._commit()
                return moved
            if not await self._step():
                self._broker.clock.advance(self._gate.opens_in)
                await spin()
        raise AssertionError(f"{self.name} does not come to an end with what it has in hand")

    def die(self) -> None:
        self._gate.close()
        self._cancel()

    async def _step(self) -> bool:
        if not await self._gate.open_one():
            return False
        self._faults.crash_point(self.name, "between two steps of its work")
        return True

    def _cancel(self) -> None:
        self._queue.drop(self._forget)
        for task in list(self._tasks):
            task.cancel()

    def _poll(self, tp: LogPartition) -> bool:
        records = self._broker.read(tp, self._position[tp], POLL_MAX)
        for record in records:
            self._accept(tp, record)
            self._position[tp] = record.offset + 1
        self._dispatch()
        return bool(records)

    def _accept(self, tp: LogPartition, record: LogRecord) -> None:
        tracker = self._trackers[tp]
        tracker.begin(record.offset)
        try:
            command = read_command(record, self._registry)
        except Rejected as error:
            self._reject(record, str(error))
            tracker.end(record.offset)
            return
        if command.id in self._ids:
            tracker.end(record.offset)
            return
        self._ids.add(command.id)
        self._queue.add(command.key, InFlight(tp, record, command))

    def _dispatch(self) -> None:
        while len(self._tasks) < IN_FLIGHT_MAX and (turn := self._queue.take()) is not None:
            connection, item = turn
            task = asyncio.get_running_loop().create_task(self._work(item))
            self._tasks[task] = item
            task.add_done_callback(partial(self._worked, connection))

    async def _work(self, item: InFlight) -> None:
        command = item.command
        run = run_id(command.workflow, command.run) if isinstance(command, FetchPages) else ""
        self._faults.note(self.name, f"works on {item.tp.topic}/{item.tp.partition}@{item.record.offset} {run}")
        for _ in range(self._deliveries):
            begun.set((run, len(self._sink.committed)))
            try:
                result = await self._runner.run(command)
            except Rejected as error:
                self._reject(item.record, str(error))
            else:
                await self._gate.through()
                self._report(item, result)
                await self._gate.through()
        self._trackers[item.tp].end(item.record.offset)

    def _report(self, item: InFlight, result: Command) -> None:
        target = LogPartition(result.topic, self._broker.partition_of(result.key))
        trace = trace_in(item.record.headers) or trace_of(item.command.key)
        out = Out(result.key.encode(), encode(result), headers(result, trace, self.name))
        self._broker.append(target, out, self.name)

    def _reject(self, record: LogRecord, reason: str) -> None:
        key, value, kept = to_record(dead_letter(record, reason))
        self._broker.append(LogPartition(DEAD_LETTERS, record.partition), Out(key, value, kept), self.name)

    def _worked(self, connection: str, task: "asyncio.Task[None]") -> None:
        item = self._tasks.pop(task)
        self._forget(item)
        self._queue.done(connection)
        if not task.cancelled():
            task.result()
        self._dispatch()

    def _forget(self, item: InFlight) -> bool:
        self._ids.discard(item.command.id)
        return True

    def _commit(self) -> None:
        trackers = self._trackers.items()
        done = {tp: one.next_offset for tp, one in trackers if one.next_offset is not None}
        self._faults.crash_point(self.name, "before the commit")
        self._group.commit(self._member, done)
