"""The engine's store behaves as RocksDB opened by Faust: the same script, the same observations on both."""

import shutil
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from faust.types import TP

from agents.faust.app import StrictApp
from tables.kinds.sync import SyncState
from tables.row import Row, encode_row
from tables.stores import StrictTable
from tests.engine.broker import LogRecord
from tests.engine.worker import Store

Changelog = Sequence[tuple[bytes, bytes | None]]


class MemoryStoreLab:
    """One partition's store on a disk."""

    def __init__(self) -> None:
        self._store = Store()

    def write(self, changes: dict[bytes, bytes | None]) -> None:
        self._store.write(changes)

    def read(self, key: bytes) -> bytes | None:
        return self._store.read(0, key)

    def restore(self, changelog: Changelog) -> None:
        """What a start does with the whole changelog, as far as the store does not have it."""
        self._store.restore(records(changelog)[self._store.position :])

    def confirm(self, offset: int) -> None:
        """The broker has the changelog up to this offset, and the commit went through."""
        self._store.position = offset + 1

    def crash(self) -> None: ...

    def take_copy(self) -> None:
        self._copy = self._store.copy()

    def put_copy_back(self) -> None:
        self._store = self._copy.copy()


class RealStoreLab:
    """RocksDB as Faust opens it. After a crash the files are as they were."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._table = self._opened()
        self._journal = TP("changelog", 0)

    def write(self, changes: dict[bytes, bytes | None]) -> None:
        self._table.store(0, changes)

    def read(self, key: bytes) -> bytes | None:
        return self._table.read(0, key)

    def restore(self, changelog: Changelog) -> None:
        self._table.restore(0, records(changelog), self._table.persisted_offset(self._journal))

    def confirm(self, offset: int) -> None:
        self._table.begin_epochs([0], 1, 0)
        self._table.note_delivered(self._journal, self._table._next[0], offset)
        self._table.persist_offsets()

    def crash(self) -> None:
        self._table.data._dbs.clear()
        self._table = self._opened()

    def take_copy(self) -> None:
        self._table.data._dbs.clear()
        shutil.copytree(self._home / "disk", self._home / "copy")

    def put_copy_back(self) -> None:
        self._table.data._dbs.clear()
        shutil.rmtree(self._home / "disk")
        shutil.copytree(self._home / "copy", self._home / "disk")
        self.crash()

    def _opened(self) -> StrictTable:
        app = StrictApp(
            "lab", broker="kafka://127.0.0.1:1", store="rocksdb://", datadir=self._home / "disk", web_enabled=False
        )
        table: StrictTable = app.Table("rows", key_type=bytes, value_type=bytes, partitions=1)
        return table


StoreLab = MemoryStoreLab | RealStoreLab


@pytest.fixture(params=["memory", "real"])
async def lab(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[StoreLab]:
    if request.param == "memory":
        yield MemoryStoreLab()
        return
    real = RealStoreLab(tmp_path)
    yield real
    real._table.data._dbs.clear()


def records(changelog: Changelog) -> list[Any]:
    return [LogRecord("changelog", 0, at, 0, key, value, ()) for at, (key, value) in enumerate(changelog)]


def row(seq: int, epoch: int = 1) -> bytes:
    return encode_row(Row[SyncState](epoch=epoch, seq=seq))


def values(lab: StoreLab) -> list[bytes | None]:
    return [lab.read(key) for key in (b"a", b"b", b"c")]


async def test_what_was_written_survives_a_crash_and_what_was_deleted_stays_away(lab: StoreLab) -> None:
    lab.write({b"a": row(1), b"b": row(1)})
    lab.write({b"a": row(2), b"b": None})
    lab.crash()
    assert values(lab) == [row(2), None, None]


async def test_an_empty_store_is_rebuilt_from_the_changelog(lab: StoreLab) -> None:
    lab.restore([(b"a", row(1)), (b"b", row(1)), (b"a", row(2)), (b"b", None), (b"c", row(1))])
    assert values(lab) == [row(2), None, row(1)]


async def test_a_store_ahead_of_the_changelog_keeps_what_it_has(lab: StoreLab) -> None:
    lab.write({b"a": row(2)})
    lab.confirm(0)
    lab.write({b"a": row(3)})
    lab.crash()
    lab.restore([(b"a", row(2)), (b"a", row(2, epoch=0))])
    assert values(lab) == [row(3), None, None]


async def test_only_what_stands_behind_the_position_is_restored(lab: StoreLab) -> None:
    lab.write({b"a": row(5)})
    lab.confirm(1)
    lab.crash()
    lab.restore([(b"a", row(9)), (b"a", None), (b"b", row(1))])
    assert values(lab) == [row(5), row(1), None]


async def test_a_copy_that_is_put_back_is_brought_up_from_its_own_position(lab: StoreLab) -> None:
    lab.write({b"a": row(1)})
    lab.confirm(0)
    lab.take_copy()
    lab.write({b"a": row(2), b"b": row(1)})
    lab.confirm(2)
    lab.put_copy_back()
    assert values(lab) == [row(1), None, None]
    lab.restore([(b"a", row(1)), (b"a", row(2)), (b"b", row(1))])
    assert values(lab) == [row(2), row(1), None]


async def test_a_record_that_is_older_than_the_stored_one_is_passed_over(lab: StoreLab) -> None:
    newest = (b"a", row(5, epoch=2))
    changelog = [newest, (b"a", row(4, epoch=2)), (b"a", row(99, epoch=1)), (b"b", row(1)), (b"b", row(1))]
    lab.restore(changelog)
    assert values(lab) == [row(5, epoch=2), row(1), None]
    lab.restore([*changelog, (b"a", row(98, epoch=1))])
    assert values(lab) == [row(5, epoch=2), row(1), None]
