"""The context of a batch: records decoded once, commands encoded and sent to the partition of their key.

What one workflow sends another of the same partition is delivered within the batch: no message, and no wait for one.
"""

from collections import deque
from typing import Any, NamedTuple

from agents.core.batch import Batch, Out, Record
from agents.core.registry import Registry
from agents.core.timers import Timers
from tables.logs import KEY as LOGS_KEY
from tables.logs import SourceLogs, decode_logs
from tables.requests import RequestLog, decode_requests, encode_requests, log_key
from tables.row import Deadline, Row, encode_row
from topics.catalog import DEAD_LETTERS
from topics.codec import encode, headers, trace_of
from topics.command import Command, Control
from topics.dead_letters import DeadLetter, to_record
from topics.partitions import PartitionOf


class LocalDelivery(NamedTuple):
    """A command on its way within the batch; `redelivered` if it was sent before and may have been lost."""

    command: Command
    trace: str
    redelivered: bool


class BatchContext:
    """The records of one partition as typed rows, for all steps of one batch."""

    def __init__(self, batch: Batch, registry: Registry, partition_of: PartitionOf, sent_by: str) -> None:
        self._batch = batch
        self._registry = registry
        self._partition: int = batch.tp.partition
        self._partition_of = partition_of
        self._sent_by = sent_by
        self._local: deque[LocalDelivery] = deque()
        self._met: set[tuple[str, str]] = set()
        self._logs: dict[bytes, RequestLog] = {}
        self._rows: dict[str, Row[Any] | None] = {}
        self._deadlines: dict[str, Deadline] = {}
        self._postponed: list[tuple[str, int, int]] = []
        self._trace: tuple[str, str] = ("", "")
        found = batch.get(LOGS_KEY)
        self.logs = SourceLogs() if found is None else decode_logs(found)

    def holds(self, key: str) -> bool:
        """Whether the workflow belongs to this partition."""
        return self._partition_of(key) == self._partition

    def get(self, key: str) -> Row[Any] | None:
        if key not in self._rows:
            value = self._batch.get(key.encode())
            self._rows[key] = None if value is None else self._registry.read_row(value)
        return self._rows[key]

    def put(self, key: str, row: Row[Any]) -> None:
        """The workflow's record from now on."""
        self._rows[key] = row
        self._deadlines[key] = Deadline(row.due, row.due_set_at)
        self._batch.put(key.encode(), encode_row(row))

    def delete(self, key: str, row: Row[Any]) -> None:
        """Take the workflow, of which `row` is the record, out of the table."""
        self._rows[key] = None
        self._deadlines[key] = Deadline()
        self._batch.delete(key.encode(), row.seq + 1)

    def get_requests(self, key: str, slot: int) -> RequestLog:
        """The workflow's request log in a slot (tables.requests), an empty one if there is none."""
        name = log_key(key, slot)
        if name not in self._logs:
            value = self._batch.get(name)
            self._logs[name] = RequestLog() if value is None else decode_requests(value)
        return self._logs[name]

    def put_requests(self, key: str, slot: int, log: RequestLog) -> None:
        self._logs[log_key(key, slot)] = log
        self._batch.put(log_key(key, slot), encode_requests(log))

    def delete_requests(self, key: str, slot: int, log: RequestLog) -> None:
        self._logs[log_key(key, slot)] = RequestLog()
        self._batch.delete(log_key(key, slot), log.seq + 1)

    def send(self, command: Command, trace: str, redelivered: bool = False) -> None:
        """Publish a command or deliver it locally; `trace` is its run's. `redelivered`: it may have been before."""
        if isinstance(command, Control) and self.holds(command.key):
            self._local.append(LocalDelivery(command, trace, redelivered))
        else:
            self.publish(command, trace)

    def publish(self, command: Command, trace: str) -> None:
        """Send by the broker."""
        if self._trace[0] != trace:
            self._trace = (trace, trace_of(trace))
        key = command.key
        out = Out(key.encode(), encode(command), headers(command, self._trace[1], self._sent_by))
        self._batch.emit(command.topic, self._partition_of(key), out)

    def next_local(self) -> LocalDelivery | None:
        return self._local.popleft() if self._local else None

    def is_first(self, what: str, key: str) -> bool:
        """True the first time in a batch: what a workflow does once, however many of its records are replayed."""
        is_first = (what, key) not in self._met
        self._met.add((what, key))
        return is_first

    def postpone(self, key: str, due: int, milliseconds: int) -> None:
        """The workflow's deadline is not reached yet: deliver its timer again after so long."""
        self._postponed.append((key, due, milliseconds))

    def reject(self, record: Record, reason: str) -> None:
        """Put the record among the dead letters."""
        key, value, kept = to_record(dead_letter(record, reason))
        self._batch.emit(DEAD_LETTERS, record.partition, Out(key, value, kept))

    def update_timers(self, timers: Timers, now: int) -> None:
        """Set the timers of the partition to the deadlines that the batch changed; `now` is our clock (Unix ms)."""
        for key, deadline in self._deadlines.items():
            timers.set(key, deadline, now)
        for key, due, milliseconds in self._postponed:
            timers.postpone(key, due, now + milliseconds)


def dead_letter(record: Record, reason: str) -> DeadLetter:
    return DeadLetter(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        at=record.timestamp,
        reason=reason,
        key=record.key,
        value=record.value,
        headers=tuple(record.headers),
    )
