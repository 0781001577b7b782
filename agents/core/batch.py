"""A batch: some records of one partition, the part of the table that belongs to it, and a way out."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from tables.changelog import tombstone_headers


class Record(Protocol):
    """A Kafka record as the consumer delivers it. `timestamp` is in Unix ms."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]: ...


class Table(Protocol):
    def read(self, partition: int, key: bytes) -> bytes | None: ...


class Out(NamedTuple):
    """A record on its way out."""

    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()


class Batch:
    """Reads see the batch's own writes. Nothing here waits, and nothing leaves before the handler has returned."""

    def __init__(self, table: Table, tp: Any, records: Sequence[Record], epoch: int) -> None:
        self.tp = tp
        self.records = records
        self.epoch = epoch
        self.changes: dict[bytes, bytes | None] = {}
        self.changelog: list[Out] = []
        self.outputs: dict[tuple[str, int], list[Out]] = {}
        self._table = table

    def get(self, key: bytes) -> bytes | None:
        return self.changes[key] if key in self.changes else self._table.read(self.tp.partition, key)

    def put(self, key: bytes, value: bytes) -> None:
        """The key's value from now on. Each put is a record in the changelog."""
        self.changes[key] = value
        self.changelog.append(Out(key, value))

    def delete(self, key: bytes, seq: int) -> None:
        """The key has no value from now on. `seq` is above that of its last value."""
        self.changes[key] = None
        self.changelog.append(Out(key, None, tombstone_headers(self.epoch, seq)))

    def emit(self, topic: str, partition: int, out: Out) -> None:
        self.outputs.setdefault((topic, partition), []).append(out)
