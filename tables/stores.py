"""The store of the table: RocksDB with bounded memory, written in batches, restored from the changelog in batches.

Faust opens and closes the databases and keeps the position in the changelog; each read and write is ours. A record of
the changelog replaces the stored one unless its guard (epoch, seq) is lower: a frozen process may have written
after its successor. A store whose files are damaged is discarded: the changelog has everything that it held.
"""

import logging
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import faust
from rocksdict import Options, WriteBatch

from tables.requests import is_request_log
from tables.row import Deadline, deadline_of, epoch_of, guard_of, next_epoch
from topics.errors import Broken

log = logging.getLogger("sluice.stores")

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


class ChangelogRecord(Protocol):
    """What a Kafka consumer delivers, as far as restoring needs it."""

    key: bytes
    value: bytes | None
    offset: int


class StrictTable(faust.Table):  # type: ignore[misc]  # faust has no types
    """Faust's table, minus its per-key reads and writes."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "options": dict(OPTIONS)})
        self.epochs: dict[int, int] = {}  # by partition that is held: above every record met so far
        self._delivered: dict[Any, int] = {}
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
        with self._opened(partition):
            value: bytes | None = self.data._db_for_partition(partition).get(key)
            return value

    def store(self, partition: int, changes: Mapping[bytes, bytes | None]) -> None:
        """Write the changes of one batch at once; None deletes."""
        with self._opened(partition):
            self.data._db_for_partition(partition).write(_write_batch(changes))

    def deadlines(self, partition: int) -> Iterator[tuple[str, Deadline]]:
        """Key and deadline of every workflow that has one."""
        for key, value in self._records(partition):
            if not is_request_log(key) and (deadline := deadline_of(value)) is not None:
                yield key.decode(), deadline

    def begin_epochs(self, partitions: Iterable[int], generation: int, now_ms: int) -> None:
        """To be called when these partitions have been restored, and are held from now on: an epoch of its own."""
        self.epochs = {partition: next_epoch(generation, now_ms, self._newest(partition)) for partition in partitions}

    def _newest(self, partition: int) -> int:
        return max((epoch_of(value) for _, value in self._records(partition)), default=0)

    def _records(self, partition: int) -> Iterator[tuple[bytes, bytes]]:
        with self._opened(partition):
            found = self.data._db_for_partition(partition).iter()
            found.seek_to_first()
            while found.valid():
                if (key := found.key()) != self.data.offset_key:
                    yield key, found.value()
                found.next()
            found.status()  # an iterator that meets a damaged block just ends

    def note_delivered(self, tp: Any, offset: int) -> None:
        """The broker has confirmed the changelog up to `offset`; the store learns of it with the next commit."""
        self._delivered[tp] = offset

    def persist_offsets(self) -> None:
        """The store was written before the changelog, so it is never behind what is noted here."""
        delivered, self._delivered = self._delivered, {}
        for tp, offset in delivered.items():
            if tp.partition in self.data._dbs:  # a revoked partition stays closed
                self.data.set_persisted_offset(tp, offset)

    def forget_delivered(self) -> None:
        self._delivered.clear()

    def restore(self, partition: int, records: Sequence[ChangelogRecord], seen: int | None) -> None:
        """Fold changelog records behind the offset `seen` into the store, with the new position, in one write."""
        last = records[-1].offset
        if seen is not None and last <= seen:
            return
        with self._opened(partition):
            self._restore(partition, records, seen)

    def _restore(self, partition: int, records: Sequence[ChangelogRecord], seen: int | None) -> None:
        db = self.data._db_for_partition(partition)
        changes: dict[bytes, bytes | None] = {}
        for record in records:
            if seen is not None and record.offset <= seen:
                continue
            before = changes[record.key] if record.key in changes else db.get(record.key)
            if before is None or record.value is None or guard_of(record.value) >= guard_of(before):
                changes[record.key] = record.value
        batch = _write_batch(changes)
        batch.put(self.data.offset_key, str(records[-1].offset).encode())
        db.write(batch)


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
