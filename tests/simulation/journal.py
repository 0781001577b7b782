"""The journal as an outsider reads it: of each workflow the records that count, one after the other."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from tables.kinds.sync import SyncState
from tables.logs import KEY as LOGS_KEY
from tables.requests import is_request_log
from tables.row import Row, guard_of
from tests.counter.kind import WITH_COUNTER
from tests.engine.broker import LogPartition, LogRecord
from tests.simulation.world import World
from topics.catalog import CHANGELOG


@dataclass(frozen=True)
class Entry:
    """A record of the changelog, and which life of a process wrote it."""

    offset: int
    by: str
    value: bytes
    row: Row[Any]


Chain = tuple[Entry, ...]


@dataclass
class Lineage:
    """One workflow's records, each behind the one that its writer knew, up to the newest: `entries`.

    A writer continues from what it found, which is a record that it puts again first, and knows nothing of what an
    expelled process wrote meanwhile.
    """

    key: str
    entries: Chain = ()
    broken: list[str] = field(default_factory=list)
    _known: dict[tuple[int, bytes], Chain] = field(default_factory=dict)  # by seq and state
    _written: dict[str, Chain] = field(default_factory=dict)  # by writer
    _writers: dict[int, set[str]] = field(default_factory=dict)  # by seq: who put it first, in whatever state

    def add(self, entry: Entry) -> None:
        """A record from the changelog, in its order."""
        newest = self.entries[-1] if self.entries else entry
        if guard_of(entry.value) < guard_of(newest.value):
            return  # a frozen process's: everyone passes it over
        state = msgspec.json.encode(entry.row.state)
        if guard_of(entry.value) == guard_of(newest.value) and state != msgspec.json.encode(newest.row.state):
            self.broken.append(f"two records of {entry.row.epoch}, {entry.row.seq} differ")
        written = self._written.get(entry.by, self.entries)
        known = self._known.get((entry.row.seq, state))
        if written and written[-1].by == entry.by and written[-1].row.seq > entry.row.seq - (known is None):
            self.broken.append(f"{entry.by} takes back seq {written[-1].row.seq} at offset {entry.offset}")
        if known is None:
            self._writers.setdefault(entry.row.seq, set()).add(entry.by)
        before = written if known is None else known
        self.entries = (*(one for one in before if one.row.seq < entry.row.seq), entry)
        self._known[entry.row.seq, state] = self._written[entry.by] = self.entries

    def requests(self) -> set[str]:
        """What it did something for: ids of requests."""
        return {entry.request_id for one in self.entries for entry in one.row.history}

    def repeated(self) -> Iterator[str]:
        """Runs that began although one for the same request had ended."""
        ended: dict[str, int] = {}
        for entry in self.entries:
            state = entry.row.state
            if isinstance(state, SyncState):
                if ended.get(state.request, state.run) != state.run:
                    yield f"{self.key}: {state.request} ran as {ended[state.request]} and again as {state.run}"
                    return
                if state.has_ended:
                    ended[state.request] = state.run

    def violations(self) -> Iterator[str]:
        for what in self.broken:
            yield f"{self.key}: {what}"
        for before, after in zip(self.entries, self.entries[1:], strict=False):
            if after.row.seq > before.row.seq + 1 and self._writers[after.row.seq] == {before.by}:
                yield f"{self.key}: a gap between seq {before.row.seq} and {after.row.seq}"
            yield from (f"{self.key}: {what}" for what in _illegal(before.row.state, after.row.state))


def counting(world: World) -> Iterator[tuple[LogRecord, str]]:
    """The changelog's records and who wrote them, partition by partition, without those of a lower epoch than one
    before them: who wrote them had been cut off."""
    for partition in range(world.broker.partitions):
        tp, epoch = LogPartition(CHANGELOG, partition), 0
        for record, by in zip(world.broker.logs[tp], world.broker.written_by[tp], strict=True):
            of_writer = epoch_of(record)
            if of_writer >= epoch:
                epoch = of_writer
                yield record, by


def epoch_of(record: LogRecord) -> int:
    head = record.value or dict(record.headers)["sluice-guard"] or b""
    return int.from_bytes(head[:8], "big")


def lineages(world: World) -> list[Lineage]:
    found: dict[str, Lineage] = {}
    retired: list[Lineage] = []
    for record, by in counting(world):
        key = (record.key or b"").decode()
        if record.value is None:
            retired += [found.pop(key)] if key in found else []  # it may begin anew
        elif not is_request_log(record.key or b"") and record.key != LOGS_KEY:
            entry = Entry(record.offset, by, record.value, WITH_COUNTER.read_row(record.value))
            found.setdefault(key, Lineage(key)).add(entry)
    return [*retired, *found.values()]


def newest_by_run(world: World) -> Mapping[str, Row[Any]]:
    """Of each run the record with the highest (epoch, seq)."""
    records = [one for one, _ in counting(world) if one.value and not is_request_log(one.key or b"")]
    rows = [WITH_COUNTER.read_row(one.value or b"") for one in records]
    return {row.state.run_id: row for row in sorted(rows, key=lambda row: (row.epoch, row.seq)) if row.state}


def _illegal(before: Any, after: Any) -> Iterator[str]:
    if before.run > after.run:
        yield f"run {after.run} follows {before.run}"
    if before.run == after.run and after.status not in _reachable(before):
        yield f"{after.run_id} goes from {before.status} to {after.status}"


def _reachable(state: Any) -> set[str]:
    """Where a run may be after this: what lies between may have been lost with the process that wrote it."""
    transitions = WITH_COUNTER.kind(state.key).transitions
    found, new = {str(state.status)}, [str(state.status)]
    while new:
        for target in transitions[new.pop()]:
            if target not in found:
                found.add(target)
                new.append(target)
    return found
