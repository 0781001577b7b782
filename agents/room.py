"""A step's room in a batch: records decoded once per batch, commands encoded and sent to the partition of their key."""

from collections.abc import Callable

from agents.intake import dead_letter, read_command
from agents.shell import Event, Shell
from agents.strict.batch import Batch, Out, Record
from tables.catalog import State, read_row
from tables.row import Row, encode_row
from topics.catalog import DEAD_LETTERS
from topics.codec import encode, headers, trace_of
from topics.commands import Command
from topics.dead import bury
from topics.errors import Rejected

PartitionOf = Callable[[str], int]


class BatchRoom:
    """The records of one partition as typed rows. `deadlines` collects what the timers must know afterwards."""

    def __init__(self, batch: Batch, partition_of: PartitionOf, sent_by: str) -> None:
        self.deadlines: dict[str, int] = {}
        self._batch = batch
        self._partition_of = partition_of
        self._sent_by = sent_by
        self._rows: dict[str, Row[State] | None] = {}
        self._trace: tuple[str, str] = ("", "")

    def get(self, key: str) -> Row[State] | None:
        if key not in self._rows:
            value = self._batch.get(key.encode())
            self._rows[key] = None if value is None else read_row(value)
        return self._rows[key]

    def put(self, key: str, row: Row[State] | None) -> None:
        self._rows[key] = row
        self.deadlines[key] = row.due if row else 0
        self._batch.put(key.encode(), None if row is None else encode_row(row))

    def emit(self, command: Command, trace: str) -> None:
        if self._trace[0] != trace:
            self._trace = (trace, trace_of(trace))
        key = command.key
        out = Out(key.encode(), encode(command), headers(command, self._trace[1], self._sent_by))
        self._batch.emit(command.topic, self._partition_of(key), out)

    def bury(self, record: Record, reason: str) -> None:
        key, value, kept = bury(dead_letter(record, reason))
        self._batch.emit(DEAD_LETTERS, record.partition, Out(key, value, kept))


def step(batch: Batch, room: BatchRoom, shell: Shell, partition_of: PartitionOf) -> None:
    """Handle a batch's records, one after the other. What cannot be handled is buried, and the partition goes on."""
    for record in batch.records:
        try:
            command = read_command(record)
            if partition_of(command.key) != record.partition:
                room.emit(command, command.key)  # a client's own partitioner: send it where its workflow lives
                continue
            event = Event(record.topic, record.offset, record.timestamp, batch.generation, command)
            shell.handle(event, room)
        except Rejected as error:
            room.bury(record, str(error))
