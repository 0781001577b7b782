"""A batch: some records of one partition, the part of the table that belongs to it, and a way out."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol


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

    def put(self, key: bytes, value: bytes | None) -> None:
        """The key's value from now on; None deletes. Each put is a record in the changelog."""
        self.changes[key] = value
        self.changelog.append(Out(key, value))

    def emit(self, topic: str, partition: int, out: Out) -> None:
        self.outputs.setdefault((topic, partition), []).append(out)
