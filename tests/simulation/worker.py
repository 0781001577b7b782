"""A worker's process: store, positions, timers, one generation of the group. Dies by being forgotten."""

from dataclasses import dataclass, field
from random import Random

from agents.local import LocalTP
from agents.room import BatchRoom, step
from agents.shell import Shell
from agents.strict.batch import Batch, Out
from agents.strict.order import check_order
from agents.timers import Timers
from tables.row import due_of, guard_of
from tests.simulation.broker import Broker, Producer
from topics.catalog import CHANGELOG, CONTROL_TOPICS
from topics.codec import encode
from topics.commands import TimerDue

BATCH_MAX = 6


@dataclass
class Store:
    """RocksDB on a disk: survives the process. It is complete up to `position`, an offset of the changelog."""

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

    def copy(self) -> "Store":
        return Store(dict(self.values), self.position)


@dataclass(frozen=True)
class Protections:
    """What keeps the promise. Each is switched off in a build that the checker must catch."""

    flush_before_commit: bool = True
    restore_guard: bool = True
    group_fence: bool = True


class Worker:
    """`generation` is the group's; only the newest one may commit. Everything else an old one can still do."""

    def __init__(self, broker: Broker, store: Store, shell: Shell, generation: int, protections: Protections) -> None:
        self._broker = broker
        self.store = store
        self._shell = shell
        self._generation = generation
        self._protections = protections
        self._producer = Producer(broker)
        self._timers = Timers()
        self._position = {topic: broker.committed[topic] for topic in CONTROL_TOPICS}
        self._restore()

    def _restore(self) -> None:
        """The changelog behind the store's position; a record with a lower guard is a frozen process's."""
        for record in self._broker.topics[CHANGELOG][self.store.position :]:
            assert record.key is not None
            before = self.store.values.get(record.key)
            is_old = before is not None and record.value is not None and guard_of(record.value) < guard_of(before)
            if not (is_old and self._protections.restore_guard):
                self.store.write({record.key: record.value})
        self.store.position = self._broker.end(CHANGELOG)
        for key, value in self.store.values.items():
            self._timers.set(key.decode(), due_of(value))

    def poll(self, topic: str, random: Random) -> bool:
        """Handle some records of a topic; False if there are none."""
        start = self._position[topic]
        records = self._broker.topics[topic][start : start + random.randint(1, BATCH_MAX)]
        if not records:
            return False
        check_order(start, records, topic)
        batch = Batch(self.store, LocalTP(topic, 0), records, self._generation)
        room = BatchRoom(batch, lambda key: 0, "simulated")
        step(batch, room, self._shell, lambda key: 0)
        self.store.write(batch.changes)
        for out in batch.changelog:
            self._producer.send(CHANGELOG, out)
        for (target, _), outs in batch.outputs.items():
            for out in outs:
                self._producer.send(target, out)
        for key, due in room.deadlines.items():
            self._timers.set(key, due)
        self._position[topic] = records[-1].offset + 1
        return True

    def tick(self, now: int) -> bool:
        told = self._timers.pop_due(now)
        for key, due in told:
            command = TimerDue(workflow=key, due=due)
            self._producer.send(command.topic, Out(key.encode(), encode(command)))
        return bool(told)

    def deliver_some(self, random: Random) -> None:
        self._producer.deliver_some(random)

    def commit(self, newest_generation: int) -> None:
        """Flush, then tell the group how far everything is; refused to a process of an older generation."""
        if self._protections.flush_before_commit:
            self._producer.flush()
        if self._generation == newest_generation or not self._protections.group_fence:
            self._broker.committed.update(self._position)
            self.store.position = self._broker.end(CHANGELOG)
