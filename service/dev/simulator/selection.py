"""Selections: the records that a listing shows, in its order, kept right while records are written.

A write costs a search and a shift of the list, not a new sort: a source that changes many times a second is read at
full speed.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable, Sequence
from typing import Any, overload

from service.dev.simulator.record import Record

Test = Callable[[Record], bool]
Key = Callable[[Record], Any]  # of the order; no two records of an entity have the same


class Selection(Sequence[Record]):
    """The records that pass every test, ascending by their key."""

    def __init__(self, records: Iterable[Record], tests: Sequence[Test], key: Key) -> None:
        self._tests = tests
        self._key = key
        self._records = sorted((record for record in records if self._selects(record)), key=key)

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> list[Record]: ...
    def __getitem__(self, index: int | slice) -> Record | list[Record]:
        return self._records[index]

    def __len__(self) -> int:
        return len(self._records)

    def replace(self, old: Record | None, new: Record | None) -> None:
        """A record as it was and as it is now; None where it was not there before, or is gone."""
        if old is not None and self._selects(old):
            del self._records[bisect_left(self._records, self._key(old), key=self._key)]
        if new is not None and self._selects(new):
            insort(self._records, new, key=self._key)

    def narrowed(self, test: Test) -> "Selection":
        """Those that pass one more test, in the same order."""
        narrow = Selection((), (*self._tests, test), self._key)
        narrow._records = [record for record in self._records if test(record)]
        return narrow

    def behind(self, record: Record) -> int:
        """The index of the first record behind this one, which may be gone."""
        return bisect_right(self._records, self._key(record), key=self._key)

    def _selects(self, record: Record) -> bool:
        return all(test(record) for test in self._tests)
