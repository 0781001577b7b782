"""Lives of records: when each that was not there from the beginning came, and when each that is gone went.

By them a reader's copy is judged: a record that existed throughout a full read must be in it.
"""

from collections.abc import Iterable
from datetime import datetime

from topics.errors import Rejected

ENTRIES_MAX = 1_000_000  # births and deaths of one organisation; at the maximum nothing more is inserted or deleted

Life = tuple[float | None, float | None]  # birth and death, Unix seconds; None: before the first one, not yet


class Lives:
    """Of one organisation."""

    def __init__(self) -> None:
        self._births: dict[str, dict[str, float]] = {}
        self._deaths: dict[str, dict[str, float]] = {}
        self._entries = 0

    @property
    def is_full(self) -> bool:
        return self._entries >= ENTRIES_MAX

    def begin(self, entity: str, id: str, at: datetime) -> None:
        self._enter(self._births, entity, id, at)

    def end(self, entity: str, id: str, at: datetime) -> None:
        self._enter(self._deaths, entity, id, at)

    def of(self, entity: str, living: Iterable[str]) -> dict[str, Life]:
        """By id: of those that live now, and of those that are gone."""
        births, deaths = self._births.get(entity, {}), self._deaths.get(entity, {})
        return {id: (births.get(id), deaths.get(id)) for id in (*living, *deaths)}

    def ended(self, entity: str) -> list[str]:
        """The ids of those that are gone."""
        return list(self._deaths.get(entity, ()))

    def _enter(self, entries: dict[str, dict[str, float]], entity: str, id: str, at: datetime) -> None:
        if self.is_full:
            raise Rejected(f"{ENTRIES_MAX} records have come and gone, and no more are kept: start the simulator anew")
        entries.setdefault(entity, {})[id] = at.timestamp()
        self._entries += 1
