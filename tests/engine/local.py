"""The whole engine in one process, on the same shell, batches, timers and activities, with a clock that is moved.

For tests and documents. The log and the table live in memory and behave as the real ones do where it matters: records
are delivered in order per partition and from the committed offset on, a crash loses whatever was not flushed yet, and
the table is rebuilt from the changelog. `CrashPlan` says where the process dies; each step may also be delivered twice.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from agents.activities.database import Database
from agents.activities.finish import finish_run
from agents.activities.leases import LeaseReader
from agents.activities.source import Source
from agents.core.batch import Batch, Out, Record
from agents.core.context import HANDED_MAX, BatchContext, step
from agents.core.intake import read_command
from agents.core.processor import Processor
from agents.core.timers import Timers
from agents.ports import Sink
from manifests.entity import Adapter
from tables.catalog import State, read_row
from tables.row import Row
from topics.catalog import CHANGELOG, CONTROL_TOPICS, DATA_TOPICS, DEAD_LETTERS
from topics.codec import encode, headers, trace_of
from topics.commands import Command, FetchPages, FinishRun, TimerDue
from topics.dead_letters import DeadLetter, from_record

ROUNDS_MAX = 10_000  # rounds without coming to rest: something goes round in a circle


class Crash(Exception):
    """The process died here."""


class MovableClock:
    """Time stands still until it is moved. Sleeping moves it."""

    def __init__(self, start_ms: int = 1_700_000_000_000) -> None:
        self.now_ms = start_ms

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.now_ms / 1000, UTC)

    def monotonic(self) -> float:
        return self.now_ms / 1000

    def advance(self, seconds: float) -> None:
        self.now_ms += int(seconds * 1000)

    async def sleep(self, seconds: float) -> None:
        self.advance(seconds)


class LocalRecord(NamedTuple):
    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


class LocalTP(NamedTuple):
    topic: str
    partition: int


@dataclass
class LocalLog:
    """Topics of one partition each, as lists that only grow, and the committed offset of each."""

    clock: MovableClock
    records: dict[str, list[LocalRecord]] = field(default_factory=lambda: defaultdict(list))
    committed: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def append(self, topic: str, out: Out) -> None:
        records = self.records[topic]
        at = self.clock.now_ms
        records.append(LocalRecord(topic, 0, len(records), at, out.key, out.value, tuple(out.headers)))

    def pending(self, topic: str) -> list[LocalRecord]:
        return self.records[topic][self.committed[topic] :]


class LocalTable:
    """The table's store: what `Batch` reads, and what a rebuilt process starts from."""

    def __init__(self, changelog: Sequence[Record] = ()) -> None:
        self.values: dict[bytes, bytes] = {}
        for record in changelog:
            assert record.key is not None
            self.write({record.key: record.value})

    def read(self, partition: int, key: bytes) -> bytes | None:
        return self.values.get(key)

    def write(self, changes: Mapping[bytes, bytes | None]) -> None:
        for key, value in changes.items():
            if value is None:
                self.values.pop(key, None)
            else:
                self.values[key] = value


class LocalEngine:
    """`tell` it commands, `await settle()` until nothing moves, `advance` its clock.

    `may_crash` is called with the name of each instant at which a process can die ("stored", "published", "committed",
    "fetched" …) and raises Crash to make it so; the engine then restarts by itself, as a supervisor would.
    `deliveries` is how often each batch and each activity's command is delivered, `handed_max` how many commands of one
    workflow to another a batch hands over.
    """

    def __init__(
        self,
        shell: Processor,
        adapters: Mapping[str, Adapter],
        source: Source,
        sink: Sink,
        *,
        clock: MovableClock,
        may_crash: Callable[[str], None] = lambda instant: None,
        deliveries: int = 1,
        handed_max: int = HANDED_MAX,
    ) -> None:
        self.clock = clock
        self.log = LocalLog(clock)
        self.crashes = 0
        self._shell = shell
        self._adapters = adapters
        self._source = source
        self._sink = sink
        self._may_crash = may_crash
        self._deliveries = deliveries
        self._handed_max = handed_max
        self._restart()

    def tell(self, command: Command) -> None:
        """Produce a command as any client would."""
        self.tell_raw(command.topic, encode(command), command.key.encode())

    def tell_raw(self, topic: str, value: bytes | None, key: bytes | None = None) -> None:
        self.log.append(topic, Out(key, value))

    def row(self, key: str) -> Row[State] | None:
        value = self._table.read(0, key.encode())
        return None if value is None else read_row(value)

    def dead_letters(self) -> list[DeadLetter]:
        return [from_record(record.key, record.value, record.headers) for record in self.log.records[DEAD_LETTERS]]

    async def settle(self) -> None:
        """Until every topic is handled to its end; timers that are due count, the clock stands still."""
        for _ in range(ROUNDS_MAX):
            try:
                if not await self._round():
                    return
            except Crash:
                self.crashes += 1
                self._restart()
        raise AssertionError(f"the engine did not come to rest within {ROUNDS_MAX} rounds")

    async def advance(self, seconds: float) -> None:
        """Move the clock and let everything that is due then happen."""
        self.clock.advance(seconds)
        await self.settle()

    def _restart(self) -> None:
        """A fresh process: the table from the changelog, the timers from the table."""
        self._table = LocalTable(self.log.records[CHANGELOG])
        self._timers = Timers()
        for key, value in self._table.values.items():
            self._timers.set(key.decode(), read_row(value).due, self.clock.now_ms)
        self._generation = self.crashes + 1

    async def _round(self) -> bool:
        for key, due in self._timers.pop_due(self.clock.now_ms):
            self.tell(TimerDue(workflow=key, due=due))
        moved = False
        for topic in CONTROL_TOPICS:
            if records := self.log.pending(topic):
                moved = True
                for _ in range(self._deliveries):
                    self._decide(topic, records)
                self._commit(topic, len(records))
        for topic in DATA_TOPICS:
            for record in self.log.pending(topic):
                moved = True
                for _ in range(self._deliveries):
                    await self._act(record)
                self._commit(topic, 1)
        return moved

    def _decide(self, topic: str, records: Sequence[LocalRecord]) -> None:
        batch = Batch(self._table, LocalTP(topic, 0), records, self._generation)
        room = BatchContext(batch, lambda key: 0, "local", self._handed_max)
        step(batch, room, self._shell)
        self._may_crash("decided")
        self._table.write(batch.changes)
        self._may_crash("stored")
        for out in batch.changelog:
            self.log.append(CHANGELOG, out)
            self._may_crash("journalled")
        for (target, _), outs in batch.outputs.items():
            for out in outs:
                self.log.append(target, out)
                self._may_crash("published")
        for key, due in room.deadlines.items():
            self._timers.set(key, due, self.clock.now_ms)

    async def _act(self, record: LocalRecord) -> None:
        database = Database(self._sink, self.clock.sleep)
        command = read_command(record)
        result: Command
        match command:
            case FetchPages():
                result = await LeaseReader(self._source, database, self._adapters, self.clock).read(command)
            case FinishRun():
                result = await finish_run(database, command)
            case _:
                raise AssertionError(f"{record.topic} carried {type(command).__name__}")
        self._may_crash("acted")
        out = Out(result.key.encode(), encode(result), headers(result, trace_of(result.key), "local"))
        self.log.append(result.topic, out)
        self._may_crash("told")

    def _commit(self, topic: str, count: int) -> None:
        self._may_crash("handled")
        self.log.committed[topic] += count
        self._may_crash("committed")
