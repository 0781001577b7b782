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
from agents.core.context import dead_letter
from agents.core.processor import read_command
from agents.core.registry import Registry
from manifests.entity import Adapter
from service.fetcher.scheduler import FairQueue, OffsetTracker
from tests.engine.broker import LogPartition, LogRecord, Member
from tests.engine.faults import Gate, spin
from tests.engine.outside import Api, FlakySink, FlakySource, begun
from tests.engine.process import Process
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


@dataclass(eq=False)
class Fetcher(Process):
    """It owns no state. `deliveries` is how often each command is worked on."""

    registry: Registry
    api: Api
    adapters: Mapping[str, Adapter]
    activities: Mapping[str, Activity] | None = None
    deliveries: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        self._gate = Gate(self.faults, self.broker.clock)
        database = Database(FlakySink(self.name, self.api.sink, self.faults, self._gate), self._gate.through)
        source = FlakySource(self.name, self.api, self.faults, self._gate)
        self._runner = ActivityRunner(
            LeaseReader(source, database, self.adapters, self.clock, self._gate.through), database, self.activities
        )
        self._trackers: dict[LogPartition, OffsetTracker] = {}
        self._queue: FairQueue[InFlight] = FairQueue(IN_FLIGHT_MAX, PER_CONNECTION_MAX)
        self._tasks: dict[asyncio.Task[None], InFlight] = {}
        self._ids: set[str] = set()

    async def assign(self, member: Member) -> None:
        self.hold(member, self.registry.catalog.data)
        self._trackers = {tp: OffsetTracker() for tp in self.position}

    async def revoke(self) -> None:
        """Another process continues from the last commit: stop at once."""
        self._cancel()
        await spin()
        self._commit()
        await super().revoke()

    async def move(self) -> None:
        match self.faults.random.choices(("poll", "step", "commit"), (3, 8, 1))[0]:
            case "poll" if self.position:
                self._poll(self.faults.random.choice(list(self.position)))
                await spin()
            case "step":
                await self._step()
            case "commit":
                self._commit()

    async def drain(self) -> bool:
        moved = bool(self._tasks)
        for tp in self.position:
            while self.position[tp] < len(self.broker.logs[tp]):
                self._poll(tp)
                moved = True
        await spin()
        for _ in range(DRAIN_STEPS_MAX):
            if not self._tasks:
                self._commit()
                return moved
            if not await self._step():
                self.broker.clock.advance(self._gate.opens_in)
                await spin()
        raise AssertionError(f"{self.name} does not come to an end with what it has in hand")

    def die(self) -> None:
        self._gate.close()
        self._cancel()

    async def _step(self) -> bool:
        if not await self._gate.open_one():
            return False
        self.faults.crash_point(self.name, "between two steps of its work")
        return True

    def _cancel(self) -> None:
        self._queue.drop(self._forget)
        for task in list(self._tasks):
            task.cancel()

    def _poll(self, tp: LogPartition) -> None:
        for record in self.read(tp, POLL_MAX):
            self._accept(tp, record)
            self.position[tp] = record.offset + 1
        self._dispatch()

    def _accept(self, tp: LogPartition, record: LogRecord) -> None:
        tracker = self._trackers[tp]
        tracker.begin(record.offset)
        try:
            command = read_command(record, self.registry)
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
        while (turn := self._queue.take()) is not None:
            connection, item = turn
            task = asyncio.get_running_loop().create_task(self._work(item))
            self._tasks[task] = item
            task.add_done_callback(partial(self._worked, connection))

    async def _work(self, item: InFlight) -> None:
        command = item.command
        run = run_id(command.workflow, command.run) if isinstance(command, FetchPages) else ""
        self.faults.note(self.name, f"works on {item.tp.topic}/{item.tp.partition}@{item.record.offset} {run}")
        for _ in range(self.deliveries):
            begun.set((run, self.api.sink.commits))
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
        target = LogPartition(result.topic, self.broker.partition_of(result.key))
        trace = trace_in(item.record.headers) or trace_of(item.command.key)
        out = Out(result.key.encode(), encode(result), headers(result, trace, self.name))
        self.broker.append(target, out, self.name)

    def _reject(self, record: LogRecord, reason: str) -> None:
        key, value, kept = to_record(dead_letter(record, reason))
        self.broker.append(LogPartition(DEAD_LETTERS, record.partition), Out(key, value, kept), self.name)

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
        self.faults.crash_point(self.name, "before the commit")
        self.group.commit(self.member, done)
