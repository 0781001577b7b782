"""The journal as a stranger reads it: of each workflow the records that count, one after the other."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from tables.catalog import State, read_row
from tables.kinds.entity import TRANSITIONS
from tables.kinds.sync import SYNC_TRANSITIONS, SyncState
from tables.row import Row, guard_of
from tests.engine.local import LocalTP
from tests.simulation.world import World
from topics.catalog import CHANGELOG

_TRANSITIONS: Mapping[str, Sequence[str]] = {
    str(status): targets for table in (SYNC_TRANSITIONS, TRANSITIONS) for status, targets in table.items()
}
_REQUEST = re.compile(r"\brequest (\S+)")


@dataclass(frozen=True)
class Entry:
    """A record of the changelog, and which life of a process wrote it."""

    offset: int
    by: str
    value: bytes
    row: Row[State]


Chain = tuple[Entry, ...]


@dataclass
class Lineage:
    """One workflow's records, each behind the one that its writer knew, up to the newest: `entries`.

    A writer goes on from what it found, which is a record that it puts again first, and knows nothing of what somebody
    wrote who was out already and did not know.
    """

    key: str
    entries: Chain = ()
    broken: list[str] = field(default_factory=list)
    _known: dict[tuple[int, bytes], Chain] = field(default_factory=dict)  # by seq and state
    _told: dict[str, Chain] = field(default_factory=dict)  # by writer

    def add(self, entry: Entry) -> None:
        """A record from the changelog, in its order."""
        newest = self.entries[-1] if self.entries else entry
        if guard_of(entry.value) < guard_of(newest.value):
            return  # a frozen process's: everyone passes it over
        state = msgspec.json.encode(entry.row.state)
        if guard_of(entry.value) == guard_of(newest.value) and state != msgspec.json.encode(newest.row.state):
            self.broken.append(f"two records of {entry.row.generation}, {entry.row.seq} differ")
        told = self._told.get(entry.by, self.entries)
        known = self._known.get((entry.row.seq, state))
        if told and told[-1].by == entry.by and told[-1].row.seq > entry.row.seq - (known is None):
            self.broken.append(f"{entry.by} takes back seq {told[-1].row.seq} at offset {entry.offset}")
        before = told if known is None else known
        self.entries = (*(one for one in before if one.row.seq < entry.row.seq), entry)
        self._known[entry.row.seq, state] = self._told[entry.by] = self.entries

    def requests(self) -> Iterator[str]:
        """What it did something for: ids of requests."""
        for entry in self.entries:
            if isinstance(entry.row.state, SyncState):
                yield from (entry.row.state.request, *entry.row.state.queue)
            for told in entry.row.trail:
                yield from _REQUEST.findall(told.note)

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
            if after.row.seq > before.row.seq + 1 and after.by == before.by:
                yield f"{self.key}: a gap between seq {before.row.seq} and {after.row.seq}"
            yield from (f"{self.key}: {what}" for what in _illegal(before.row.state, after.row.state))


def lineages(world: World) -> list[Lineage]:
    found: dict[str, Lineage] = {}
    for partition in range(world.broker.partitions):
        tp = LocalTP(CHANGELOG, partition)
        for record, by in zip(world.broker.logs[tp], world.broker.written_by[tp], strict=True):
            assert record.key is not None
            key = record.key.decode()
            if record.value is None:
                found.pop(key, None)  # a workflow that begins anew
                continue
            entry = Entry(record.offset, by, record.value, read_row(record.value))
            found.setdefault(key, Lineage(key)).add(entry)
    return list(found.values())


def newest_by_run(world: World) -> Mapping[str, Row[State]]:
    """Of each run the record with the highest (generation, seq)."""
    newest: dict[str, Row[State]] = {}
    for record in world.broker.topic(CHANGELOG):
        if record.value is None:
            continue
        row = read_row(record.value)
        assert row.state is not None
        known = newest.get(row.state.run_id)
        if known is None or (row.generation, row.seq) > (known.generation, known.seq):
            newest[row.state.run_id] = row
    return newest


def _illegal(before: State | None, after: State | None) -> Iterator[str]:
    assert before is not None
    assert after is not None
    if before.run > after.run:
        yield f"run {after.run} follows {before.run}"
    if before.run == after.run and after.status not in _reachable(before):
        yield f"{after.run_id} goes from {before.status} to {after.status}"


def _reachable(state: State) -> set[str]:
    """Where a run may be after this: what lies between may have been lost with the process that wrote it."""
    found, new = {str(state.status)}, [str(state.status)]
    while new:
        for target in _TRANSITIONS[new.pop()]:
            if target not in found:
                found.add(target)
                new.append(target)
    return found
