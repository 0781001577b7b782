"""Records: one resource each, with its attributes and what its relationships point at."""

from typing import Any

import msgspec

from service.dev.simulator.draw import Pointer
from service.dev.simulator.schema import Entity, Values

Target = Pointer | tuple[Pointer, ...] | None


class Record(msgspec.Struct, frozen=True, gc=False):
    """One resource. `parent` is the parent's id in its path, empty at the top level."""

    id: str
    parent: str
    attributes: Any
    targets: dict[str, Target]


def number_of(record: Record) -> int:
    """The id as a number: the order of a list that nothing else orders."""
    return int(record.id)


def pointers(record: Record, relation: str) -> tuple[Pointer, ...]:
    """The targets of a relationship, to-one or to-many."""
    target = record.targets.get(relation)
    if target is None:
        return ()
    return (target,) if isinstance(target, Pointer) else target


def repeated_ids(entity: Entity, targets: dict[str, Target]) -> Values:
    """The attributes that repeat a to-one relationship's id, in the type the API gives them."""
    repeated: Values = {}
    for name, target in targets.items():
        attribute = f"{name}_id"
        if attribute in entity.attributes:
            id = target.id if isinstance(target, Pointer) else None
            repeated[attribute] = int(id) if id and entity.attributes[attribute] == "integer" else id
    return repeated
