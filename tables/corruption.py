"""Damaged stores: one whose files are damaged is discarded, since the changelog has everything that it held."""

import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from topics.errors import Broken

log = logging.getLogger("sluice.stores")

MARKER = "DAMAGED"  # a file beside RocksDB's own: what is wrong with one block is only seen when it is read
_SAID = "Corruption:"  # how every status of this kind begins in RocksDB (rocksdb/status.h, kCorruption)


def open_or_discard(path: Path, opened: Callable[[], Any]) -> Any:
    """The store at `path`, opened; an empty one, if its files are damaged or were found to be."""
    if not (path / MARKER).exists():
        try:
            return opened()
        except Exception as error:
            if not _is_damage(error):
                raise
            reason = str(error)
    else:
        reason = (path / MARKER).read_text()
    log.error("the store %s is damaged (%s): it is discarded and restored from the changelog", path, reason)
    shutil.rmtree(path)
    return opened()


@contextmanager
def damage_is_marked(place: Callable[[], Path]) -> Iterator[None]:
    """Broken where the block finds damage; the store at `place` is then marked, and discarded by the next opening."""
    try:
        yield
    except Exception as error:
        if not _is_damage(error):
            raise
        path = place()
        (path / MARKER).write_text(str(error))
        raise Broken(f"the store {path} is damaged ({error}): a restart discards it and restores it") from error


def _is_damage(error: Exception) -> bool:
    return _SAID in str(error)
