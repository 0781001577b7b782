"""Reading RocksDB: read-only, from a copy, so that a worker that still runs is not disturbed."""

import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import rocksdict

from tests.checker.values import Store

POSITION = b"__faust\0offset__"  # where Faust keeps the changelog's offset, beside the workflows' keys
EPOCH = b"__sluice\0epoch__"  # and the worker the highest epoch that it has met there
_NAME = re.compile(r"workflows-(\d+)\.db")


def read_stores(directory: Path) -> Iterator[Store]:
    """Every partition's store below a directory, of however many workers."""
    for path in sorted(directory.rglob("workflows-*.db")):
        found = _NAME.fullmatch(path.name)
        if found is not None and path.is_dir():
            yield _read(path, int(found[1]))


def _read(path: Path, partition: int) -> Store:
    with tempfile.TemporaryDirectory(prefix="sluice-checker-") as place:
        copy = Path(place) / path.name
        shutil.copytree(path, copy, ignore=shutil.ignore_patterns("LOCK"))
        try:
            values = _values(copy)
        except Exception as error:
            if "Corruption:" not in str(error):
                raise
            return Store(str(path), partition, None, {})  # damaged, and nobody has opened it since
    position = values.pop(POSITION, None)
    values.pop(EPOCH, None)
    return Store(str(path), partition, None if position is None else int(position), values)


def _values(path: Path) -> dict[bytes, bytes]:
    options = rocksdict.Options(raw_mode=True)
    database = rocksdict.Rdict(str(path), options, access_type=rocksdict.AccessType.read_only())
    try:
        values: dict[bytes, bytes] = {}
        found = database.iter()
        found.seek_to_first()
        while found.valid():
            values[found.key()] = found.value()
            found.next()
        found.status()  # damage ends a walk without a word
        return values
    finally:
        database.close()
