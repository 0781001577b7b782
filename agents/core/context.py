"""A step's room in a batch: records decoded once per batch, commands encoded and sent to the partition of their key.

What one workflow tells another of the same partition is handed over within the batch: no message, and no wait for one.
"""

from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

from agents.core.batch import Batch, Out, Record
from agents.core.intake import dead_letter, read_command
from agents.core.processor import Event, Processor
from tables.catalog import State, read_row
from tables.row import Row, encode_row
from topics.catalog import DEAD_LETTERS
from topics.codec import encode, headers, trace_of
from topics.commands import Command, Control
from topics.dead_letters import to_record
from topics.errors import Rejected

PartitionOf = Callable[[str], int]

# Commands that one batch hands over; the rest goes by the broker, so that a batch has an end. What is sent again is not
# counted: a message would not tell that it is, and each workflow repeats but once a batch.
HANDED_MAX = 1_000


class LocalDelivery(NamedTuple):
    """A command on its way within the batch; `is_again` if it was sent before and may have been lost."""

    command: Command
    trace: str
    redelivered: bool


class BatchContext:
    """The records of one partition as typed rows. `deadlines` collects what the timers must know afterwards."""

    def __init__(self, batch: Batch, partition_of: PartitionOf, sent_by: str, handed_max: int = HANDED_MAX) -> None:
        self.deadlines: dict[str, int] = {}
        self._handed: deque[LocalDelivery] = deque()
        self._hands = handed_max
        self._repeated: set[str] = set()
        self._batch = batch
        self._partition: int = batch.tp.partition
        self._partition_of = partition_of
        self._sent_by = sent_by
        self._rows: dict[str, Row[State] | None] = {}
        self._trace: tuple[str, str] = ("", "")

    def holds(self, key: str) -> bool:
        """Whether the workflow lives in this partition."""
        return self._partition_of(key) == self._partition

    def get(self, key: str) -> Row[State] | None:
        if key not in self._rows:
            value = self._batch.get(key.encode())
            self._rows[key] = None if value is None else read_row(value)
        return self._rows[key]

    def put(self, key: str, row: Row[State] | None) -> None:
        self._rows[key] = row
        self.deadlines[key] = row.due if row else 0
        self._batch.put(key.encode(), None if row is None else encode_row(row))

    def emit(self, command: Command, trace: str, redelivered: bool = False) -> None:
        if not (isinstance(command, Control) and self.holds(command.key) and (redelivered or self._hands)):
            self.send(command, trace)
            return
        if not redelivered:
            self._hands -= 1
        self._handed.append(LocalDelivery(command, trace, redelivered))

    def send(self, command: Command, trace: str) -> None:
        """By the broker."""
        if self._trace[0] != trace:
            self._trace = (trace, trace_of(trace))
        key = command.key
        out = Out(key.encode(), encode(command), headers(command, self._trace[1], self._sent_by))
        self._batch.emit(command.topic, self._partition_of(key), out)

    def handed(self) -> Iterator[LocalDelivery]:
        """What was handed over and not taken yet, up to the last that comes while these are taken."""
        while self._handed:
            yield self._handed.popleft()

    def first_redelivery(self, key: str) -> bool:
        is_first = key not in self._repeated
        self._repeated.add(key)
        return is_first

    def to_record(self, record: Record, reason: str) -> None:
        key, value, kept = to_record(dead_letter(record, reason))
        self._batch.emit(DEAD_LETTERS, record.partition, Out(key, value, kept))


def step(batch: Batch, room: BatchContext, shell: Processor) -> None:
    """Handle a batch's records, one after the other. What cannot be handled is buried, and the partition goes on."""
    for record in batch.records:
        try:
            command = read_command(record)
            if not room.holds(command.key):
                room.send(command, command.key)  # a client's own partitioner: send it where its workflow lives
                continue
            event = Event(record.topic, record.offset, record.timestamp, batch.generation, command)
            shell.handle(event, room)
        except Rejected as error:
            room.to_record(record, str(error))
        _deliver_locally(room, shell, record.timestamp, batch.generation)


def _deliver_locally(room: BatchContext, shell: Processor, at: int, generation: int) -> None:
    """All that follows within the partition. What is refused goes by the broker, to be buried as itself."""
    for command, trace, redelivered in room.handed():
        try:
            shell.handle(Event("", None, at, generation, command, redelivered), room)
        except Rejected:
            room.send(command, trace)
