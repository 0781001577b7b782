"""A partition's store on a disk, in memory: it survives the process."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tables.changelog import Changelog, ChangelogRecord, guard_in
from tables.logs import KEY as LOGS_KEY
from tables.requests import is_request_log
from tables.row import GUARD, Deadline, deadline_of


@dataclass
class Store:
    """RocksDB on a disk, one partition: survives the process. Whole up to `position`, an offset of the changelog, in
    which `epoch` is the highest that it has met."""

    values: dict[bytes, bytes] = field(default_factory=dict)
    position: int = 0
    epoch: int = 0
    deleted: set[bytes] = field(default_factory=set)  # of the process: they leave the disk behind their tombstones

    def read(self, partition: int, key: bytes) -> bytes | None:
        return None if key in self.deleted else self.values.get(key)

    def write(self, changes: Mapping[bytes, bytes | None]) -> None:
        for key, value in changes.items():
            if value is None:
                self.deleted.add(key)
            else:
                self.values[key] = value
                self.deleted.discard(key)

    def let_deleted_go(self) -> None:
        for key in self.deleted:
            self.values.pop(key, None)
        self.deleted.clear()

    def changelog(self) -> Changelog:
        """Its changelog, as far as the store knows it."""
        return Changelog(self.epoch, self.position)

    def restore(self, records: Sequence[ChangelogRecord], changelog: Changelog) -> None:
        """Changelog records behind the position."""
        self.write(changelog.fold(records, self.values.get))
        self.let_deleted_go()
        self.note(changelog)

    def note(self, changelog: Changelog) -> None:
        self.position, self.epoch = changelog.position + 1, changelog.epoch

    def deadlines(self) -> list[tuple[str, Deadline]]:
        workflows = ((key, value) for key, value in self.values.items() if not is_request_log(key))
        found = ((key.decode(), deadline_of(value)) for key, value in workflows)
        return [(key, deadline) for key, deadline in found if deadline is not None]

    def workflows(self) -> dict[str, bytes]:
        beside = {key for key in self.values if is_request_log(key)} | {LOGS_KEY}
        return {key.decode(): value for key, value in self.values.items() if key not in beside}

    def copy(self) -> "Store":
        return Store(dict(self.values), self.position, self.epoch)


Disk = dict[int, Store]


class Unguarded(Changelog):
    """Without protection: the last record counts, whoever sent it."""

    def fold(
        self, records: Iterable[ChangelogRecord], read: Callable[[bytes], bytes | None]
    ) -> dict[bytes, bytes | None]:
        changes: dict[bytes, bytes | None] = {}
        for record in records:
            assert record.key is not None
            changes[record.key] = record.value
            self.known = record.offset + 1
            guard = guard_in(record)
            self.epoch = max(self.epoch, GUARD.unpack(guard)[0] if guard else 0)
        return changes
