"""Random values that repeat with the seed, from which an organisation's records are generated. Knows no entity.

Two kinds: `Draw.below` and its callers continue from record to record, so a collection is always generated from its
first record on; `Draw.steady` depends on its arguments alone, so that two records can agree on a value.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TypeVar
from zlib import crc32

import msgspec

from service.dev.simulator.words import FIRST_NAMES, LAST_NAMES

T = TypeVar("T")

# Ids are near this number, so that some have seven digits and some eight: their order as text is not that as numbers.
ID_MIDDLE = 10_000_000
ID_SHIFT = 50
HISTORY_START = datetime(2018, 1, 1, tzinfo=UTC)
HISTORY_SECONDS = 7 * 365 * 86_400
CREATED_SHARE = 0.9  # the last record was created at this share of the history
IMPORT_SHARE = 0.25  # from this share of a collection on, an import wrote many rows in one second
IMPORT_ROWS_MAX = 250


class Pointer(msgspec.Struct, frozen=True, gc=False):
    """A JSON:API resource identifier."""

    type: str
    id: str


class Shape:
    """The numbers and ids of an organisation's records. `sizes`: children of each parent, in order."""

    def __init__(
        self,
        org: str,
        seed: int,
        counts: Mapping[str, int],
        types: Mapping[str, str],
        sizes: Mapping[str, Sequence[int]],
    ) -> None:
        self.org = org
        self.seed = seed
        self.counts = counts
        self.sizes = sizes
        self.salt = f"{seed}/{org}/"
        self.organization = Pointer("Organization", str(100_000 + crc32(self.salt.encode()) % 900_000))
        self._types = types
        self._starts = {name: self._start(name, count) for name, count in counts.items()}

    def _start(self, entity: str, count: int) -> int:
        return ID_MIDDLE - count - crc32(f"{self.salt}{entity}".encode()) % max(count, ID_SHIFT)

    def number(self, entity: str, index: int) -> int:
        """The id of the record at `index`, as a number. Ids ascend and leave gaps: of each two one is used."""
        return self._starts[entity] + 2 * index + _bit(index)

    def pointer(self, entity: str, index: int) -> Pointer:
        return Pointer(self._types[entity], str(self.number(entity, index)))

    def vanished(self, entity: str, index: int) -> Pointer:
        """An id of the entity's range that no record has."""
        return Pointer(self._types[entity], str(self._starts[entity] + 2 * index + 1 - _bit(index)))


def _bit(index: int) -> int:
    return index * 2_654_435_761 >> 16 & 1


class Draw:
    """The record that is generated: its position, its times, and the records it may refer to."""

    def __init__(self, shape: Shape, entity: str) -> None:
        self.shape = shape
        self.index = 0
        self.parent = 0
        self.slot = 0
        self.created = ""
        self.updated = ""
        self._count = shape.counts[entity]
        self._random = Random(f"{shape.salt}{entity}").random

    def move(self, index: int, parent: int, slot: int) -> None:
        """Move to the next record: `slot` counts within the parent at index `parent`."""
        self.index, self.parent, self.slot = index, parent, slot
        share = CREATED_SHARE * min(1.0, index / max(1, self._count))
        first = int(self._count * IMPORT_SHARE)
        if first <= index < first + min(IMPORT_ROWS_MAX, self._count // 4):
            self.created = self.updated = moment(CREATED_SHARE * IMPORT_SHARE)
            return
        self.created = moment(share)
        self.updated = moment(share + (1 - share) * self._random() ** 3)

    def below(self, end: int) -> int:
        return int(self._random() * end)

    def chance(self, share: float) -> bool:
        return self._random() < share

    def pick(self, options: Sequence[T]) -> T:
        return options[int(self._random() * len(options))]

    def later(self) -> str:
        """A time in the history, unrelated to the record's own times."""
        return moment(self._random())

    def day(self, first_year: int, last_year: int) -> str:
        year = first_year + self.below(last_year - first_year + 1)
        return f"{year}-{1 + self.below(12):02}-{1 + self.below(28):02}"

    def steady(self, what: str, index: int, end: int) -> int:
        """A number below `end` that depends on the arguments alone."""
        return crc32(f"{self.shape.salt}{what}/{index}".encode()) % end

    def name(self, index: int) -> tuple[str, str]:
        """First and last name of the person at `index`."""
        number = self.steady("name", index, 1 << 30)
        return FIRST_NAMES[number % len(FIRST_NAMES)], LAST_NAMES[(number >> 12) % len(LAST_NAMES)]

    def size(self, entity: str, parent: int) -> int:
        """The number of children of `entity` of the parent at index `parent`."""
        sizes = self.shape.sizes[entity]
        return sizes[parent] if parent < len(sizes) else 0

    def parent_of(self, entity: str, index: int) -> int:
        """The index of the parent of the record at `index`."""
        for parent, size in enumerate(self.shape.sizes[entity]):
            index -= size
            if index < 0:
                return parent
        return 0

    def one(self, entity: str, index: int) -> Pointer:
        return self.shape.pointer(entity, index % self.shape.counts[entity])

    def any(self, entity: str) -> Pointer:
        return self.shape.pointer(entity, self.below(self.shape.counts[entity]))

    def maybe(self, share: float, entity: str) -> Pointer | None:
        return self.any(entity) if self.chance(share) else None


def moment(share: float) -> str:
    """The time at this share of the history, as the API writes it: UTC, whole seconds."""
    return written(HISTORY_START + timedelta(seconds=int(share * HISTORY_SECONDS)))


def written(at: datetime) -> str:
    """A time as the API writes it."""
    return at.astimezone(UTC).isoformat()[:19] + "Z"
