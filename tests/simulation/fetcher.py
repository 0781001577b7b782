"""A fetcher's process: commands in fair turns, acknowledged in order, several in hand at once."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from agents.activities.database import Database
from agents.activities.leases import LeaseReader
from agents.core.batch import Out
from agents.core.intake import dead_letter, read_command
from manifests.entity import Adapter
from service.fetcher.fair_queue import FairQueue
from service.fetcher.offsets import Offsets
from service.fetcher.work import Work
from tests.engine.local import LocalRecord, LocalTP
from tests.simulation.broker import Broker, Group, Member
from tests.simulation.fate import Fate, Gate, WrongClock, settle
from tests.simulation.outside import Api, AuditedSink, FlakySink, FlakySource, begun
from topics.catalog import DATA_TOPICS, DEAD_LETTERS
from topics.codec import encode
from topics.commands import AnyCommand, FetchPages
from topics.dead_letters import to_record
from topics.errors import Rejected
from topics.ids import run_id

POLL_MAX = 3
IN_FLIGHT_MAX = 4
PER_CONNECTION_MAX = 2
DRAIN_STEPS_MAX = 10_000


@dataclass(frozen=True)
class InFlight:
    tp: LocalTP
    record: LocalRecord
    command: AnyCommand


class Fetcher:
    """One life of a process. It owns no state: whatever it had in hand is delivered again to somebody."""

    def __init__(
        self, name: str, broker: Broker, group: Group, sink: AuditedSink, api: Api,
        adapters: Mapping[str, Adapter], fate: Fate,
    ) -> None:  # fmt: skip
        self.name = name
        self.clock = WrongClock(broker.clock)
        self._broker = broker
        self._group = group
        self._sink = sink
        self._fate = fate
        self._gate = Gate(fate, broker.clock)
        database = Database(FlakySink(name, sink, fate, self._gate), self._gate.through)
        reader = LeaseReader(FlakySource(name, api, fate, self._gate), database, adapters, self.clock)
        self._work = Work(reader, database)
        self._member = Member("", 0, 0, ())
        self._position: dict[LocalTP, int] = {}
        self._offsets: dict[LocalTP, Offsets] = {}
        self._turns: FairQueue[InFlight] = FairQueue(PER_CONNECTION_MAX)
        self._tasks: dict[asyncio.Task[None], InFlight] = {}
        self._ids: set[str] = set()

    async def assign(self, member: Member) -> None:
        self._member = member
        tps = [LocalTP(topic, partition) for topic in DATA_TOPICS for partition in member.partitions]
        self._position = {tp: self._group.committed[tp] for tp in tps}
        self._offsets = {tp: Offsets() for tp in tps}

    async def revoke(self) -> None:
        """Somebody else goes on from the last commit: stop at once."""
        self._cancel()
        await settle()
        self._commit()
        self._position.clear()

    async def move(self) -> None:
        match self._fate.random.choices(("poll", "go on", "commit"), (3, 8, 1))[0]:
            case "poll" if self._position:
                self._poll(self._fate.random.choice(list(self._position)))
                await settle()
            case "go on":
                if await self._gate.open_one():
                    self._fate.instant(self.name, "between two steps of its work")
            case "commit":
                self._commit()

    async def drain(self) -> bool:
        """Everything that there is to do; False if there was nothing."""
        moved = bool(self._tasks)
        for tp in self._position:
            while self._poll(tp):
                moved = True
        await settle()
        for _ in range(DRAIN_STEPS_MAX):
            if not self._tasks:
                self._commit()
                return moved
            if not await self._gate.open_one():
                self._broker.clock.advance(self._gate.opens_in)
                await settle()
        raise AssertionError(f"{self.name} does not come to an end with what it has in hand")

    def die(self) -> None:
        self._gate.close()
        self._cancel()

    def _cancel(self) -> None:
        self._turns.drop(self._forget)
        for task in list(self._tasks):
            task.cancel()

    def _poll(self, tp: LocalTP) -> bool:
        records = self._broker.read(tp, self._position[tp], POLL_MAX)
        for record in records:
            self._accept(tp, record)
            self._position[tp] = record.offset + 1
        self._dispatch()
        return bool(records)

    def _accept(self, tp: LocalTP, record: LocalRecord) -> None:
        offsets = self._offsets[tp]
        offsets.begin(record.offset)
        try:
            command = read_command(record)
        except Rejected as error:
            self._dead_letter(record, str(error))
            offsets.end(record.offset)
            return
        if command.id in self._ids:
            offsets.end(record.offset)
            return
        self._ids.add(command.id)
        self._turns.add(command.key, InFlight(tp, record, command))

    def _dispatch(self) -> None:
        while len(self._tasks) < IN_FLIGHT_MAX and (turn := self._turns.take()) is not None:
            connection, item = turn
            task = asyncio.get_running_loop().create_task(self._do(item))
            self._tasks[task] = item
            task.add_done_callback(partial(self._done, connection))

    async def _do(self, item: InFlight) -> None:
        command = item.command
        run = run_id(command.workflow, command.run) if isinstance(command, FetchPages) else ""
        begun.set((run, len(self._sink.committed)))
        self._fate.note(self.name, f"works on {item.tp.topic}/{item.tp.partition}@{item.record.offset} {run}")
        try:
            result = await self._work.do(command)
        except Rejected as error:
            self._dead_letter(item.record, str(error))
        else:
            if result is not None:
                await self._gate.through()
                target = LocalTP(result.topic, self._broker.partition_of(result.key))
                self._broker.append(target, Out(result.key.encode(), encode(result)), self.name)
                await self._gate.through()
        self._offsets[item.tp].end(item.record.offset)

    def _dead_letter(self, record: LocalRecord, reason: str) -> None:
        key, value, kept = to_record(dead_letter(record, reason))
        self._broker.append(LocalTP(DEAD_LETTERS, record.partition), Out(key, value, kept), self.name)

    def _done(self, connection: str, task: "asyncio.Task[None]") -> None:
        item = self._tasks.pop(task)
        self._forget(item)
        self._turns.done(connection)
        if not task.cancelled():
            task.result()
        self._dispatch()

    def _forget(self, item: InFlight) -> bool:
        self._ids.discard(item.command.id)
        return True

    def _commit(self) -> None:
        offsets = self._offsets.items()
        done = {tp: one.next_offset for tp, one in offsets if one.next_offset is not None}
        self._fate.instant(self.name, "before the commit")
        self._group.commit(self._member, done)
