"""The store of the table: RocksDB with bounded memory, written in batches, restored from the changelog in batches.

Faust opens and closes the databases; each read and write is ours. What the changelog's records change, and how far a
store knows them, is tables.changelog's. A store whose files are damaged is discarded: the changelog has everything that
it held.
"""

import logging
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import faust
from faust.types import TP
from rocksdict import Options, WriteBatch

from tables.changelog import Changelog, ChangelogRecord, Deleted, under_epoch
from tables.logs import KEY as LOGS_KEY
from tables.logs import FirstRecord, under
from tables.requests import is_request_log
from tables.row import Deadline, deadline_of, next_epoch
from topics.errors import Broken

log = logging.getLogger("sluice.stores")

EPOCH_KEY = b"__sluice\0epoch__"  # beside Faust's own: the highest epoch that the store has met in its changelog
JOURNAL_FILE = "JOURNAL"  # beside the stores: which changelog they were restored from
DAMAGE_FILE = "DAMAGED"  # beside RocksDB's own: what is wrong with one block is only seen when it is read
DAMAGE = "Corruption:"  # how every status of this kind begins in RocksDB (rocksdb/status.h, kCorruption)

OPTIONS: Mapping[str, int] = {  # per partition, sizes in bytes: 8 partitions hold at most about 200 MB
    "block_cache_size": 16 * 2**20,
    "write_buffer_size": 4 * 2**20,
    "max_write_buffer_number": 2,
    "target_file_size_base": 16 * 2**20,
    "max_open_files": 128,
}
# RocksDB's own log: one for each start, 1,000 of them by default, and each without end.
LOG_BYTES_MAX = 2**20
LOGS_KEPT_MAX = 4


class StrictTable(faust.Table):  # type: ignore[misc]  # faust has no types
    """Faust's table, minus its per-key reads and writes."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "options": dict(OPTIONS)})
        self.changelogs: dict[int, Changelog] = {}  # by partition that is held, or being restored
        self._persisted: dict[int, int] = {}
        self._deleted: defaultdict[int, Deleted] = defaultdict(Deleted)
        self.app.strict_tables.append(self)

    def _new_store(self) -> Any:
        """Faust's store, but one that is damaged does not keep its process from starting."""
        store = super()._new_store()
        options, opened = store.rocksdb_options.as_options, store._open_for_partition
        store.rocksdb_options.as_options = lambda: with_small_logs(options())
        store._open_for_partition = lambda partition: open_or_discard(
            store.partition_path(partition), partial(opened, partition)
        )
        return store

    def _opened(self, partition: int) -> AbstractContextManager[None]:
        return damage_is_marked(partial(self.data.partition_path, partition))

    def read(self, partition: int, key: bytes) -> bytes | None:
        if key in self._deleted[partition]:
            return None
        with self._opened(partition):
            value: bytes | None = self.data._db_for_partition(partition).get(key)
            return value

    def store(self, partition: int, changes: Mapping[bytes, bytes | None]) -> None:
        """Write the changes of one batch at once. What is deleted (None) leaves the store once the broker has it."""
        self._deleted[partition].note(changes)
        puts = {key: value for key, value in changes.items() if value is not None}
        with self._opened(partition):
            self.data._db_for_partition(partition).write(_write_batch(puts))

    def deadlines(self, partition: int) -> Iterator[tuple[str, Deadline]]:
        """Key and deadline of every workflow that has one."""
        for key, value in self._records(partition):
            if not is_request_log(key) and (deadline := deadline_of(value)) is not None:
                yield key.decode(), deadline

    def workflows(self, partition: int) -> Iterator[tuple[str, bytes]]:
        """Key and record of every workflow."""
        for key, value in self._records(partition):
            if not is_request_log(key) and key != LOGS_KEY:
                yield key.decode(), value

    def first_record(self, partition: int, generation: int, now_ms: int) -> bytes:
        """The record by which the epoch of a partition's new owner begins, which has restored it: for the changelog."""
        epoch = next_epoch(generation, now_ms, self.changelog(partition).epoch)
        return under(self.read(partition, LOGS_KEY), epoch)

    def begin_epoch(self, partition: int, first: FirstRecord) -> bool:
        """The changelog has the record, and the store all in front of it: the partition is held from now on.

        False if another process has begun this epoch in front of it, or a higher one: it takes another first record.
        The store notes no epoch that its changelog does not have; else it would take records that count, restored from
        a copy, for those of a process that was cut off.
        """
        changelog = self.changelog(partition)
        if not changelog.may_begin(first.epoch):
            return False
        self.restore(partition, [first])
        changelog.begin()
        return True

    def epoch(self, partition: int) -> int:
        return self.changelogs[partition].epoch

    def changelog(self, partition: int) -> Changelog:
        """What the store knows of its changelog, kept until the partition is released."""
        if partition not in self.changelogs:
            epoch = self.data._db_for_partition(partition).get(EPOCH_KEY) or b"0"
            position = self.persisted_offset(TP(self.changelog_topic_name, partition))
            self.changelogs[partition] = Changelog(int(epoch), 0 if position is None else position + 1)
            self._persisted[partition] = self.changelogs[partition].position
        return self.changelogs[partition]

    def _records(self, partition: int) -> Iterator[tuple[bytes, bytes]]:
        with self._opened(partition):
            found = self.data._db_for_partition(partition).iter()
            found.seek_to_first()
            while found.valid():
                if (key := found.key()) not in (self.data.offset_key, EPOCH_KEY):
                    yield key, found.value()
                found.next()
            found.status()  # an iterator that meets a damaged block just ends

    def note_sent(self, partition: int, outs: Sequence[tuple[bytes | None, bytes | None, Any]]) -> None:
        """These records (key, value, headers) are on their way to the changelog."""
        self._deleted[partition].note_sent(outs)

    def note_delivered(self, tp: TP, first: int, last: int) -> None:
        """The broker has confirmed records of ours; the store learns of it with the next commit."""
        if tp.partition in self.changelogs:
            self.changelogs[tp.partition].note_delivered(first, last)
            self._deleted[tp.partition].note_delivered(last - first + 1)

    def persist_offsets(self) -> None:
        """The store was written before the changelog, so it is never behind what is noted here."""
        for partition, changelog in self.changelogs.items():
            if partition not in self.data._dbs:
                continue  # a revoked partition stays closed
            if self._persisted[partition] != changelog.position:
                self.data.set_persisted_offset(TP(self.changelog_topic_name, partition), changelog.position)
                self._persisted[partition] = changelog.position
            if gone := self._deleted[partition].take_delivered():
                self.data._db_for_partition(partition).write(_write_batch(dict.fromkeys(gone)))

    def release(self) -> None:
        """No partition is held any more."""
        self.changelogs.clear()
        self._persisted.clear()
        self._deleted.clear()

    def restore(self, partition: int, records: Sequence[ChangelogRecord]) -> None:
        """Fold changelog records into the store, with the new position, in one write."""
        with self._opened(partition):
            changelog, db = self.changelog(partition), self.data._db_for_partition(partition)
            batch = _write_batch(changelog.fold(records, db.get))
            batch.put(self.data.offset_key, str(changelog.position).encode())
            batch.put(EPOCH_KEY, str(changelog.epoch).encode())
            db.write(batch)

    def discard_later(self, partition: int, reason: str) -> None:
        """The store cannot be used: the next process discards it, and restores it from the changelog."""
        (self.data.partition_path(partition) / DAMAGE_FILE).write_text(reason)

    def put_overtaken(self, partition: int) -> dict[bytes, bytes | None]:
        """The table's own value of each key whose newest record in the changelog does not count, under its epoch now.

        To be put into the changelog again; None is a workflow that there is not.
        """
        changelog, values = self.changelogs[partition], dict[bytes, bytes | None]()
        for key in changelog.overtaken:
            value = self.read(partition, key)
            values[key] = None if value is None else under_epoch(value, changelog.epoch)
        self.store(partition, values)
        return values


def keep_stores_of(journal: str, datadir: Path) -> None:
    """The stores in `datadir` are of this journal from now on. Those of another one, or of an unknown one, are
    discarded: the positions in them are of a changelog that is gone, and this one has everything that there is."""
    mark = datadir / JOURNAL_FILE
    if mark.exists() and mark.read_text() == journal:
        return
    if datadir.exists() and any(datadir.iterdir()):
        former = mark.read_text() if mark.exists() else "an unknown one"
        message = (
            "the stores in %s are of another journal (%s) than Kafka has now (%s): they are discarded and restored"
        )
        log.warning(message, datadir, former, journal)
        shutil.rmtree(datadir)
    datadir.mkdir(parents=True, exist_ok=True)
    mark.write_text(journal)


def with_small_logs(options: Options) -> Options:
    """Faust passes on no such setting of its own."""
    options.set_max_log_file_size(LOG_BYTES_MAX)
    options.set_keep_log_file_num(LOGS_KEPT_MAX)
    return options


def open_or_discard(path: Path, opened: Callable[[], Any]) -> Any:
    """The store at `path`, opened; an empty one, if its files are damaged or were found to be."""
    if not (path / DAMAGE_FILE).exists():
        try:
            return opened()
        except Exception as error:
            if DAMAGE not in str(error):
                raise
            reason = str(error)
    else:
        reason = (path / DAMAGE_FILE).read_text()
    log.error("the store %s is damaged (%s): it is discarded and restored from the changelog", path, reason)
    shutil.rmtree(path)
    return opened()


@contextmanager
def damage_is_marked(place: Callable[[], Path]) -> Iterator[None]:
    """Broken where the block finds damage; the store at `place` is then marked, and discarded by the next opening."""
    try:
        yield
    except Exception as error:
        if DAMAGE not in str(error):
            raise
        path = place()
        (path / DAMAGE_FILE).write_text(str(error))
        raise Broken(f"the store {path} is damaged ({error}): a restart discards it and restores it") from error


def _write_batch(changes: Mapping[bytes, bytes | None]) -> Any:
    batch = WriteBatch(raw_mode=True)
    for key, value in changes.items():
        if value is None:
            batch.delete(key)
        else:
            batch.put(key, value)
    return batch
