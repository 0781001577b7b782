"""The table's store on a real RocksDB, opened as Faust opens it."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from faust.types import TP

from agents.faust.app import StrictApp
from tables.kinds.sync import SyncState
from tables.requests import RequestLog, encode_requests, log_key
from tables.row import Deadline, Row, encode_row
from tables.stores import StrictTable
from tests.engine.broker import LogRecord
from topics.errors import Broken

PARTITION = 3
CHANGELOG = TP("changelog", PARTITION)

Open = Callable[[], StrictTable]


def changelog(*records: tuple[int, bytes, bytes | None]) -> list[Any]:
    """By offset."""
    return [LogRecord(CHANGELOG.topic, PARTITION, at, 0, key, value, ()) for at, key, value in records]


@pytest.fixture
async def reopen(tmp_path: Path) -> AsyncIterator[Open]:
    """Opens the table in one and the same directory; the one that was opened before is closed."""
    opened: list[StrictTable] = []

    def close() -> None:
        while opened:
            opened.pop().data._dbs.clear()

    def reopen() -> StrictTable:
        close()
        app = StrictApp("stores", broker="kafka://127.0.0.1:1", store="rocksdb://", datadir=tmp_path, web_enabled=False)
        opened.append(app.Table("rows", key_type=bytes, value_type=bytes, partitions=8))
        return opened[-1]

    yield reopen
    close()


def row(seq: int, epoch: int = 1, due: int = 0) -> bytes:
    return encode_row(Row[SyncState](epoch=epoch, seq=seq, due=due, due_set_at=due and due - 10))


def held(table: StrictTable) -> StrictTable:
    """The table in the life of a process."""
    table.begin_epochs([PARTITION], 1, 0)
    return table


def values(table: StrictTable, *keys: bytes) -> list[bytes | None]:
    return [table.read(PARTITION, key) for key in keys]


async def test_partitions_are_apart(reopen: Open) -> None:
    table = reopen()
    table.store(PARTITION, {b"a": row(1)})
    assert table.read(PARTITION + 1, b"a") is None


async def test_a_changelog_is_restored_in_chunks_with_its_position(reopen: Open) -> None:
    table = reopen()
    table.restore(PARTITION, changelog((0, b"a", row(1)), (1, b"b", row(1))), None)
    table.restore(PARTITION, changelog((2, b"a", row(2)), (5, b"b", None)), 1)
    assert values(table, b"a", b"b") == [row(2), None]
    assert reopen().persisted_offset(CHANGELOG) == 5


async def test_the_position_is_what_the_broker_has_confirmed(reopen: Open) -> None:
    table = held(reopen())
    table.note_delivered(CHANGELOG, 0, 8)
    assert table.persisted_offset(CHANGELOG) is None
    table.persist_offsets()
    assert reopen().persisted_offset(CHANGELOG) == 8


async def test_the_position_stays_in_front_of_a_record_of_another_process_until_a_restore_has_read_it(
    reopen: Open,
) -> None:
    table = held(reopen())
    for first, last in ((0, 3), (5, 8), (9, 9)):
        table.note_delivered(CHANGELOG, first, last)
    table.persist_offsets()
    assert table.persisted_offset(CHANGELOG) == 3
    table.restore(PARTITION, changelog((4, b"b", row(1)), (9, b"a", row(2))), 3)
    held(table).note_delivered(CHANGELOG, 10, 11)
    table.persist_offsets()
    assert reopen().persisted_offset(CHANGELOG) == 11


async def test_a_revoked_partition_stays_closed(reopen: Open) -> None:
    table = held(reopen())
    table.note_delivered(CHANGELOG, 0, 8)
    table.data._dbs.clear()
    table.persist_offsets()
    assert PARTITION not in table.data._dbs


async def test_what_was_confirmed_before_a_revocation_is_forgotten(reopen: Open) -> None:
    table = held(reopen())
    table.note_delivered(CHANGELOG, 0, 8)
    table.forget_delivered()
    table.persist_offsets()
    assert table.persisted_offset(CHANGELOG) is None


async def test_the_deadlines_are_those_of_the_stored_workflows(reopen: Open) -> None:
    table = reopen()
    log = RequestLog().adding("r", "start-sync@1", 60, epoch=1)
    workflows = {b"a": row(1, due=50), b"b": row(1), b"c": row(1, due=70)}
    table.store(PARTITION, {**workflows, log_key("c", 0): encode_requests(log)})
    assert dict(reopen().deadlines(PARTITION)) == {"a": Deadline(50, 40), "c": Deadline(70, 60)}


def damage(tmp_path: Path, pattern: str, part: slice = slice(None)) -> None:
    """Overwrite what RocksDB has in the file of such a name."""
    (file,) = tmp_path.rglob(pattern)
    content = bytearray(file.read_bytes())
    content[part] = b"x" * len(content[part])
    file.write_bytes(content)


async def test_a_store_that_cannot_be_opened_is_discarded(reopen: Open, tmp_path: Path) -> None:
    table = reopen()
    table.store(PARTITION, {b"a": row(1)})
    table.data._dbs.clear()
    damage(tmp_path, "CURRENT")
    table = reopen()
    assert values(table, b"a") == [None]
    assert table.persisted_offset(CHANGELOG) is None


async def test_a_store_with_a_damaged_block_ends_the_process_and_is_discarded_by_the_next(
    reopen: Open, tmp_path: Path
) -> None:
    table = reopen()
    table.store(PARTITION, {b"%05d" % n: row(n, due=n) for n in range(1, 2_000)})
    table.data._db_for_partition(PARTITION).flush()
    table.data._dbs.clear()
    damage(tmp_path, "*.sst", slice(100, 400))
    with pytest.raises(Broken, match="a restart discards it"):
        list(reopen().deadlines(PARTITION))
    assert list(reopen().deadlines(PARTITION)) == []
