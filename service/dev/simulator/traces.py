"""Traces of what readers cannot see by updated_at: merges, and changes that leave it where it was.

By them a reader's copy is judged: what a delta alone must have wrong, and which person each merged one is now.
"""

from collections import Counter
from typing import Any

from service.dev.simulator.record import Record
from service.dev.simulator.schema import Entity


class Traces:
    """Of one organisation. `merged`: each removed person's id, with that of the person it was merged into, which may be
    merged into another since."""

    def __init__(self) -> None:
        self.merged: dict[str, str] = {}
        self._changes: Counter[str] = Counter()
        self._unseen: dict[str, set[str]] = {}

    def note(self, entity: Entity, old: Record, new: Record, is_touched: bool) -> None:
        """A change. It counts as invisible if something shows in a reader's copy and updated_at did not move, or if
        there is none."""
        moved = _moved(old, new)
        if "updated_at" in entity.attributes and (is_touched or moved):
            self._unseen.get(entity.name, set()).discard(new.id)
        elif _shown(entity, old) != _shown(entity, new):
            self._changes[entity.name] += 1
            self._unseen.setdefault(entity.name, set()).add(new.id)

    def end(self, entity: str, id: str) -> None:
        """The record is gone."""
        self._unseen.get(entity, set()).discard(id)

    def invisible(self, entity: str) -> dict[str, Any]:
        """How many changes were invisible, and the living records whose updated_at has not moved since their last."""
        return {"changes": self._changes[entity], "records": sorted(self._unseen.get(entity, ()), key=int)}


def _moved(old: Record, new: Record) -> bool:
    return getattr(old.attributes, "updated_at", None) != getattr(new.attributes, "updated_at", None)


def _shown(entity: Entity, record: Record) -> tuple[object, ...]:
    """Attributes, and the relationships that a list shows or can be asked for."""
    names = (r.name for r in entity.relations if r.shown or r.name in entity.include)
    return record.attributes, tuple(record.targets[name] for name in names)
