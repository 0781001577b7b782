"""The table's store on a real RocksDB, opened as Faust opens it; and the engine's store, which behaves as it does."""

import shutil
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from faust.types import TP

from agents.faust.app import StrictApp
from tables.changelog import Headers, tombstone_headers
from tables.kinds.sync import SyncState
from tables.logs import FirstRecord
from tables.requests import RequestLog, encode_requests, log_key
from tables.row import Deadline, Row, encode_row
from tables.stores import LOGS_KEPT_MAX, StrictTable, keep_stores_of
from tests.engine.broker import LogRecord
from tests.engine.store import Store
from topics.errors import Broken

PARTITION = 3
CHANGELOG = TP("lab-rows-changelog", PARTITION)

Change = tuple[bytes, bytes | None]


class MemoryStore:
    """One partition's store on a disk."""

    def __init__(self) -> None:
        self._store = Store()

    def write(self, changes: dict[bytes, bytes | None]) -> None:
        self._store.write(changes)

    def read(self, key: bytes) -> bytes | None:
        return self._store.read(PARTITION, key)

    def restore(self, changes: Sequence[Change]) -> None:
        """What a start does with the whole changelog, as far as the store does not have it."""
        self._store.restore(changelog(*changes)[self._store.position :], self._store.changelog())

    def confirm(self, offset: int) -> None:
        """The broker has the changelog up to this offset, and the commit went through."""
        self._store.position = offset + 1
        self._store.let_deleted_go()

    def crash(self) -> None:
        self._store = self._store.copy()

    def take_copy(self) -> None:
        self._copy = self._store.copy()

    def put_copy_back(self) -> None:
        self._store = self._copy.copy()


class RealStore:
    """RocksDB as Faust opens it. After a crash the files are as they were."""

    def __init__(self, home: Path) -> None:
        self._disk, self._saved = home / "disk", home / "copy"
        self._open()

    def _open(self) -> None:
        app = StrictApp("lab", broker="kafka://127.0.0.1:1", store="rocksdb://", datadir=self._disk, web_enabled=False)
        self.table: StrictTable = app.Table("rows", key_type=bytes, value_type=bytes, partitions=8)

    def close(self) -> None:
        self.table.data._dbs.clear()

    def crash(self) -> None:
        self.close()
        self._open()

    def reopen(self) -> StrictTable:
        self.crash()
        return self.table

    def hold(self) -> StrictTable:
        """The table in the life of a process, which is the first to put something behind what was restored."""
        value = self.table.first_record(PARTITION, 1, 0)
        assert self.table.begin_epoch(PARTITION, FirstRecord(value, self.table.changelogs[PARTITION].known))
        return self.table

    def write(self, changes: dict[bytes, bytes | None]) -> None:
        self.table.store(PARTITION, changes)
        self.table.note_sent(PARTITION, [(key, value, ()) for key, value in changes.items()])

    def read(self, key: bytes) -> bytes | None:
        return self.table.read(PARTITION, key)

    def restore(self, changes: Sequence[Change]) -> None:
        self.table.restore(PARTITION, changelog(*changes))

    def confirm(self, offset: int) -> None:
        self.table.first_record(PARTITION, 0, 0)  # knows its changelog from now on
        self.table.note_delivered(CHANGELOG, 0, offset)
        self.table.persist_offsets()

    def take_copy(self) -> None:
        self.close()
        shutil.copytree(self._disk, self._saved)

    def put_copy_back(self) -> None:
        self.close()
        shutil.rmtree(self._disk)
        shutil.copytree(self._saved, self._disk)
        self._open()


AnyStore = MemoryStore | RealStore


@pytest.fixture
async def real(tmp_path: Path) -> AsyncIterator[RealStore]:
    opened = RealStore(tmp_path)
    yield opened
    opened.close()


@pytest.fixture(params=["memory", "real"])
def store(request: pytest.FixtureRequest) -> AnyStore:
    if request.param == "memory":
        return MemoryStore()
    opened: RealStore = request.getfixturevalue("real")
    return opened


def changelog(*changes: Change, first: int = 0) -> list[Any]:
    numbered = enumerate(changes, first)
    return [LogRecord(CHANGELOG.topic, PARTITION, at, 0, key, value, headers(value)) for at, (key, value) in numbered]


def headers(value: bytes | None) -> Headers:
    return () if value else tombstone_headers(1, 2)


def row(seq: int, epoch: int = 1, due: int = 0) -> bytes:
    return encode_row(Row[SyncState](epoch=epoch, seq=seq, due=due, due_set_at=due and due - 10))


def values(store: AnyStore) -> list[bytes | None]:
    return [store.read(key) for key in (b"a", b"b", b"c")]


async def test_what_was_written_survives_a_crash(store: AnyStore) -> None:
    store.write({b"a": row(1), b"b": row(1)})
    store.write({b"a": row(2)})
    store.crash()
    assert values(store) == [row(2), row(1), None]


async def test_what_was_deleted_is_gone_but_for_a_crash_before_the_broker_has_its_tombstone(store: AnyStore) -> None:
    store.write({b"a": row(1), b"b": row(1)})
    store.write({b"a": None, b"b": None})
    assert values(store) == [None, None, None]
    store.crash()
    assert values(store) == [row(1), row(1), None]
    store.write({b"a": None})
    store.confirm(0)
    store.crash()
    assert values(store) == [None, row(1), None]


async def test_an_empty_store_is_rebuilt_from_the_changelog(store: AnyStore) -> None:
    store.restore([(b"a", row(1)), (b"b", row(1)), (b"a", row(2)), (b"b", None), (b"c", row(1))])
    assert values(store) == [row(2), None, row(1)]


async def test_a_store_ahead_of_the_changelog_keeps_what_it_has(store: AnyStore) -> None:
    store.write({b"a": row(2)})
    store.confirm(0)
    store.write({b"a": row(3)})
    store.crash()
    store.restore([(b"a", row(2)), (b"a", row(2, epoch=0))])
    assert values(store) == [row(3), None, None]


async def test_only_what_stands_behind_the_position_is_restored(store: AnyStore) -> None:
    store.write({b"a": row(5)})
    store.confirm(1)
    store.crash()
    store.restore([(b"a", row(9)), (b"a", None), (b"b", row(1))])
    assert values(store) == [row(5), row(1), None]


async def test_a_copy_that_is_put_back_is_brought_up_from_its_own_position(store: AnyStore) -> None:
    store.write({b"a": row(1)})
    store.confirm(0)
    store.take_copy()
    store.write({b"a": row(2), b"b": row(1)})
    store.confirm(2)
    store.put_copy_back()
    assert values(store) == [row(1), None, None]
    store.restore([(b"a", row(1)), (b"a", row(2)), (b"b", row(1))])
    assert values(store) == [row(2), row(1), None]


async def test_a_record_that_is_older_than_the_stored_one_is_passed_over(store: AnyStore) -> None:
    newest = (b"a", row(5, epoch=2))
    changelog = [newest, (b"a", row(4, epoch=2)), (b"b", row(1, epoch=2)), (b"a", row(99)), (b"c", row(99))]
    store.restore(changelog)
    assert values(store) == [row(5, epoch=2), row(1, epoch=2), None]
    store.crash()
    store.restore([*changelog, (b"b", row(98))])
    assert values(store) == [row(5, epoch=2), row(1, epoch=2), None]


async def test_records_that_do_not_count_are_read_again_until_the_owner_has_put_its_own_behind_them(
    real: RealStore,
) -> None:
    real.restore([(b"a", row(5, epoch=2)), (b"a", row(9)), (b"b", row(9))])
    table = real.reopen()
    assert table.persisted_offset(CHANGELOG) == 0
    real.restore([(b"a", row(5, epoch=2)), (b"a", row(9)), (b"b", row(9))])
    table = real.hold()
    epoch = table.epoch(PARTITION)
    assert table.put_overtaken(PARTITION) == {b"a": row(5, epoch), b"b": None}
    assert values(real) == [row(5, epoch), None, None]


async def test_an_epoch_is_above_all_that_the_changelog_has_met(real: RealStore) -> None:
    real.restore([(b"a", row(1, epoch=2**60)), (b"a", None)])
    real.crash()
    assert real.hold().epoch(PARTITION) == 2**60 + 1
    real.crash()
    assert real.hold().epoch(PARTITION) == 2**60 + 2


async def test_a_store_notes_no_epoch_that_its_changelog_does_not_have(real: RealStore) -> None:
    real.restore([(b"a", row(1, epoch=7))])
    real.table.first_record(PARTITION, 1, 0)
    real.crash()
    real.restore([(b"a", row(1, epoch=7)), (b"a", row(2, epoch=7))])
    assert values(real) == [row(2, epoch=7), None, None]


async def test_a_partition_whose_epoch_another_process_has_begun_is_not_held(real: RealStore) -> None:
    first = FirstRecord(real.table.first_record(PARTITION, 1, 0), 1)
    real.restore([(b"a", row(1, epoch=first.epoch))])
    assert not real.table.begin_epoch(PARTITION, first)
    again = FirstRecord(real.table.first_record(PARTITION, 1, 0), 2)
    assert real.table.begin_epoch(PARTITION, again)
    assert real.table.epoch(PARTITION) == again.epoch == first.epoch + 1


def test_stores_of_another_journal_are_discarded_and_those_of_the_same_are_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stores = tmp_path / "worker-1"
    keep_stores_of("first", stores)
    (stores / "rows.db").touch()
    keep_stores_of("first", stores)
    assert (stores / "rows.db").exists()
    assert caplog.records == []
    keep_stores_of("second", stores)
    assert [file.name for file in stores.iterdir()] == ["JOURNAL"]
    assert "are of another journal (first) than Kafka has now (second)" in caplog.text


async def test_partitions_are_apart(real: RealStore) -> None:
    real.write({b"a": row(1)})
    assert real.table.read(PARTITION + 1, b"a") is None


async def test_a_changelog_is_restored_in_chunks_with_its_position(real: RealStore) -> None:
    real.table.restore(PARTITION, changelog((b"a", row(1)), (b"b", row(1))))
    real.table.restore(PARTITION, [*changelog((b"a", row(2)), first=2), *changelog((b"b", None), first=5)])
    assert values(real) == [row(2), None, None]
    assert real.reopen().persisted_offset(CHANGELOG) == 5


async def test_the_position_is_what_the_broker_has_confirmed(real: RealStore) -> None:
    table = real.hold()
    table.note_delivered(CHANGELOG, 0, 8)
    assert table.persisted_offset(CHANGELOG) == 0
    table.persist_offsets()
    assert real.reopen().persisted_offset(CHANGELOG) == 8


async def test_a_revoked_partition_stays_closed(real: RealStore) -> None:
    real.hold().note_delivered(CHANGELOG, 0, 8)
    real.close()
    real.table.persist_offsets()
    assert PARTITION not in real.table.data._dbs


async def test_what_was_confirmed_before_a_revocation_is_forgotten(real: RealStore) -> None:
    table = real.hold()
    table.note_delivered(CHANGELOG, 0, 8)
    table.release()
    table.persist_offsets()
    assert table.persisted_offset(CHANGELOG) == 0


async def test_the_deadlines_are_those_of_the_stored_workflows(real: RealStore) -> None:
    log = RequestLog().adding("r", "start-sync@1", 60, epoch=1)
    workflows = {b"a": row(1, due=50), b"b": row(1), b"c": row(1, due=70)}
    real.write({**workflows, log_key("c", 0): encode_requests(log)})
    assert dict(real.reopen().deadlines(PARTITION)) == {"a": Deadline(50, 40), "c": Deadline(70, 60)}


def damage(tmp_path: Path, pattern: str, part: slice = slice(None)) -> None:
    """Overwrite what RocksDB has in the file of such a name."""
    (file,) = tmp_path.rglob(pattern)
    content = bytearray(file.read_bytes())
    content[part] = b"x" * len(content[part])
    file.write_bytes(content)


async def test_a_store_that_cannot_be_opened_is_discarded(real: RealStore, tmp_path: Path) -> None:
    real.write({b"a": row(1)})
    real.close()
    damage(tmp_path, "CURRENT")
    table = real.reopen()
    assert real.read(b"a") is None
    assert table.persisted_offset(CHANGELOG) is None


async def test_a_store_with_a_damaged_block_ends_the_process_and_is_discarded_by_the_next(
    real: RealStore, tmp_path: Path
) -> None:
    real.write({b"%05d" % n: row(n, due=n) for n in range(1, 2_000)})
    real.table.data._db_for_partition(PARTITION).flush()
    real.close()
    damage(tmp_path, "*.sst", slice(100, 400))
    with pytest.raises(Broken, match="a restart discards it"):
        list(real.reopen().deadlines(PARTITION))
    assert list(real.reopen().deadlines(PARTITION)) == []


def test_starts_leave_a_bounded_number_of_logs(real: RealStore) -> None:
    for seq in range(3 * LOGS_KEPT_MAX):
        real.write({b"key": row(seq)})
        real.crash()
    logs = list(real.table.data.partition_path(PARTITION).glob("LOG*"))
    assert 1 <= len(logs) <= LOGS_KEPT_MAX
