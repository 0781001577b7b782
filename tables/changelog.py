"""The changelog of one partition as its reader knows it: which records count, and which are to be put again. Pure.

Along a changelog epochs only grow: whoever takes a partition over puts a first record under a higher one, and restores
the table up to it. A record of a lower epoch behind one of a higher was sent by a process that was cut off.
Nothing of what it says is committed (its group refuses that, and commits come after the records), and its successor
decides the same events anew: it does not count. But compaction keeps the last record of a key, whoever sent it; so the
owner puts its own again behind one that does not count.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

import msgspec

from tables.row import GUARD, HEAD, guard_of
from topics.errors import Broken

GUARD_HEADER = "sluice-guard"  # of a tombstone, whose value cannot hold it

Headers = Sequence[tuple[str, bytes | None]]  # Kafka has headers without a value
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class ChangelogRecord(Protocol):
    """What a Kafka consumer delivers, as far as the changelog's readers need it."""

    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def offset(self) -> int: ...
    @property
    def headers(self) -> Headers: ...


class Changelog:
    """`known`: each record before this offset is in the table, or is ours, or is to be put again.

    `epoch` is the highest one met or, from `begin` on, the owner's own.
    """

    def __init__(self, epoch: int = 0, known: int = 0) -> None:
        self.epoch = epoch
        self.known = known
        self._is_owned = False
        self._overtaken: dict[bytes, int] = {}  # by key the offset of the first record that does not count
        self._confirmed = (0, 0)  # the newest offsets of ours without another's between them

    @property
    def position(self) -> int:
        """The last offset that nobody needs to read again, -1 for none: what a store may note."""
        return min((self.known, *self._overtaken.values())) - 1

    @property
    def overtaken(self) -> tuple[bytes, ...]:
        """The keys whose newest record in the changelog does not count."""
        return tuple(self._overtaken)

    def may_begin(self, epoch: int) -> bool:
        """Whether nobody has begun this epoch, or a higher one, in front of its first record; all there is folded."""
        return epoch > self.epoch

    def begin(self) -> None:
        """The first record of the epoch is folded; the table is owned from now on."""
        self._is_owned = True

    def fold(
        self, records: Iterable[ChangelogRecord], read: Callable[[bytes], bytes | None]
    ) -> dict[bytes, bytes | None]:
        """The changes that the records make to a table of which `read` has the stored values; None deletes.

        A stored record may be newer than the changelog's: it was stored before a crash and never sent. Broken: another
        process has begun a higher epoch than the owner's.
        """
        changes: dict[bytes, bytes | None] = {}
        for record in records:
            if record.offset < self.known or record.key is None:
                continue
            self.known = record.offset + 1
            key, guard = record.key, guard_in(record)
            if not self._counts(key, guard, record.offset):
                continue
            before = changes[key] if key in changes else read(key)
            if before is None or guard is None or guard >= guard_of(before):
                changes[key] = record.value
        return changes

    def note_delivered(self, first: int, last: int) -> None:
        """Records of the owner's have these offsets. Where another's are between them, `known` stays in front."""
        since, until = self._confirmed
        self._confirmed = (since if first == until else first, last + 1)
        self._join()

    def note_put_again(self) -> None:
        """What was overtaken is on its way, behind whatever overtook it."""
        self._overtaken.clear()

    def note_read(self, end: int) -> None:
        """There is nothing before `end` that was not folded."""
        self.known = max(self.known, end)
        self._join()

    def _join(self) -> None:
        since, until = self._confirmed
        if since <= self.known < until:
            self.known = until

    def _counts(self, key: bytes, guard: bytes | None, offset: int) -> bool:
        epoch = self.epoch if guard is None else GUARD.unpack(guard)[0]
        if epoch < self.epoch:
            self._overtaken.setdefault(key, offset)
            return False
        if epoch > self.epoch and self._is_owned:
            raise Broken(
                f"offset {offset} of the changelog has epoch {epoch}, and ours is {self.epoch}: another process has "
                "taken the partition over. This one ends; nothing of what it decided since counts"
            )
        self.epoch = epoch
        self._overtaken.pop(key, None)
        return True


def tombstone_headers(epoch: int, seq: int) -> Headers:
    """Headers of a record without a value: it takes out whatever is older than this."""
    return ((GUARD_HEADER, GUARD.pack(epoch, seq)),)


def guard_in(record: ChangelogRecord) -> bytes | None:
    """The record's (epoch, seq); None for a tombstone without one, which somebody else has put."""
    if record.value is not None:
        return guard_of(record.value)
    found = next((content for name, content in record.headers if name == GUARD_HEADER), None)
    return found if found is not None and len(found) == GUARD.size else None


def under_epoch(value: bytes, epoch: int) -> bytes:
    """A record of the table, the same but for its epoch: under the owner's own it is newer than what overtook it."""
    _, seq, due = HEAD.unpack_from(value)
    fields: dict[str, msgspec.Raw] = _fields(memoryview(value)[HEAD.size :])
    name = "epoch" if "epoch" in fields else "generation"
    return HEAD.pack(epoch, seq, due) + msgspec.json.encode({**fields, name: epoch})


class Deleted:
    """Keys of one partition that have no value any more, until the broker has confirmed their tombstones.

    A store is ahead of the changelog after a crash. A value that it has ahead is put again by a replay; one that it
    lacks would be in nobody's hands. So a key leaves the store last.
    """

    def __init__(self) -> None:
        self._records: dict[bytes, int | None] = {}  # the number of the tombstone among the records sent; None: not yet
        self._sent = 0
        self._confirmed = 0

    def __contains__(self, key: object) -> bool:
        return key in self._records

    def note(self, changes: Mapping[bytes, bytes | None]) -> None:
        """A batch's changes; None deletes."""
        for key, value in changes.items():
            if value is None:
                self._records[key] = None
            else:
                self._records.pop(key, None)

    def note_sent(self, outs: Iterable[tuple[bytes | None, bytes | None, Headers]]) -> None:
        """Records (key, value, headers) on their way, in their order."""
        for key, value, _ in outs:
            self._sent += 1
            if value is None and key in self._records:
                self._records[key] = self._sent

    def note_delivered(self, count: int) -> None:
        self._confirmed += count

    def take_delivered(self) -> list[bytes]:
        """The keys that may leave the store now."""
        gone = [key for key, number in self._records.items() if number is not None and number <= self._confirmed]
        for key in gone:
            del self._records[key]
        return gone
