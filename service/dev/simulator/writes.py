"""Writes to the simulated data, with those side effects of Planning Center that a delta pass cannot see.

A new primary email demotes the old one without moving its updated_at; joining or leaving a household moves neither
the household's nor the person's; a delete leaves no trace; a merge moves the removed person's children unchanged.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from service.dev.simulator.catalog import EDGES, ENTITIES, Edge
from service.dev.simulator.draw import Pointer, written
from service.dev.simulator.record import Record, Target, pointers, repeated_ids
from service.dev.simulator.schema import Entity, Relation, Values
from service.dev.simulator.store import Organisation, edges_to, own_children
from topics.errors import Rejected

PERSON = "people.person"
MERGER = "people.person_merger"
HOUSEHOLD = "people.household"
MEMBERSHIP = Edge("household_memberships", "people.household_membership")

Targets = Mapping[str, str | Sequence[str] | None]


class Writes:
    """Writes to one organisation at one time. Raises Rejected for an invalid write, naming the invalid part.

    `began_at`: when a transaction that shows only now set its times; records that have newer ones by now keep them.
    """

    def __init__(self, org: Organisation, at: datetime, began_at: datetime | None = None) -> None:
        self._org = org
        self._at = at
        self._is_late = began_at is not None
        self.stamp = written((began_at or at) + org.clock_error)

    def insert(self, entity: Entity, parent: str, attributes: Values, targets: Targets) -> Record:
        """A new record of the given values; the others are generated."""
        return self.insert_made(entity, self._org.make(entity, self._parent(entity, parent)), attributes, targets)

    def insert_made(self, entity: Entity, made: Record, attributes: Values, targets: Targets) -> Record:
        """A record that was generated before: its id may be lower than those of records that showed in between."""
        org = self._org
        parent = self._parent(entity, made.parent)
        above = {
            r.name: Pointer(ENTITIES[r.to].type, parent) for r in entity.relations if r.to and r.to == entity.under
        }
        stand_in = {relation.name: _alive(org, relation, made) for relation in entity.relations if relation.to}
        stamps = self._stamps(entity)
        made = msgspec.structs.replace(made, targets=made.targets | stand_in | above)
        return self._begin(entity, _changed(entity, made, stamps | attributes, _resolved(org, entity, targets)))

    def create(self, entity: Entity, parent: str, attributes: Values, targets: Targets) -> Record:
        """A new record of the given values alone: flags are false, everything else that is not given is null."""
        made = self._org.make(entity, parent)
        nothing: dict[str, Target] = {relation.name: () if relation.many else None for relation in entity.relations}
        blank = entity.struct(**{name: False for name, kind in entity.attributes.items() if kind == "boolean"})
        stamps = self._stamps(entity)
        record = Record(made.id, parent, blank, nothing)
        return self._begin(entity, _changed(entity, record, stamps | attributes, _resolved(self._org, entity, targets)))

    def _begin(self, entity: Entity, record: Record) -> Record:
        self._org.lives.begin(entity.name, record.id, self._at)
        self._store(entity, record)
        return record

    def edit(self, entity: Entity, id: str, attributes: Values, targets: Targets, is_touched: bool) -> Record:
        """A change. `is_touched`: updated_at moves to now (where there is one, and unless it is given)."""
        old = _found(self._org, entity, id)
        stamp = self._touch(entity, old) if is_touched else {}
        record = _changed(entity, old, stamp | attributes, _resolved(self._org, entity, targets))
        self._store(entity, record, is_touched)
        return record

    def remove(self, entity: Entity, id: str) -> Record:
        """Remove a record alone: what points at it points at nothing."""
        record = _found(self._org, entity, id)
        self._org.lives.end(entity.name, id, self._at)
        self._org.remove(entity.name, id)
        self._org.traces.end(entity.name, id)
        return record

    def delete(self, entity: Entity, id: str) -> int:
        """Remove a record and those that require it; other references become null. Returns the number of records."""
        record = self.remove(entity, id)
        removed = 1
        for edge in own_children(entity.name):
            for child in self._org.children(edge, id):
                removed += self.delete(ENTITIES[edge.child], child.id)
        removed += sum(
            self._unlink(child, relation, Pointer(entity.type, id)) for child, relation in edges_to(entity.name)
        )
        self._recount(entity, record)
        return removed

    def merge(self, keep: str, remove: str) -> Record:
        """Merge two persons: children move, one person is removed, a PersonMerger records it."""
        org = self._org
        person = ENTITIES[PERSON]
        old, new = (Pointer(person.type, _found(org, person, id).id) for id in (remove, keep))
        if old == new:
            raise Rejected("a person cannot be merged with itself")
        for entity, relation in edges_to(PERSON):
            for record in _pointing(org, entity, relation, old):
                if entity.mirrors:
                    self.remove(entity, record.id)
                    continue
                target = {relation.name: _moved(record, relation, old, new)}
                self._store(entity, _changed(entity, record, _demoted(org, entity, keep), target))
        self.remove(person, remove)
        org.traces.merged[remove] = keep
        kept = _found(org, person, keep)
        self._put(person, _changed(person, kept, self._touch(person, kept), {}), is_touched=True)
        return self.insert(ENTITIES[MERGER], "", {}, {"person_to_keep": keep, "person_to_remove": remove})

    def _parent(self, entity: Entity, parent: str) -> str:
        if not entity.under:
            return ""
        above = ENTITIES[entity.under]
        first = next(iter(self._org.records(above.name)), "")
        found = _found(self._org, above, parent or first)
        if entity.is_single and self._org.children(EDGES[above.name][entity.segment], found.id):
            raise Rejected(f"the {above.name} {found.id} has a {entity.name} already")
        return found.id

    def _stamps(self, entity: Entity) -> Values:
        return {name: self.stamp for name in ("created_at", "updated_at") if name in entity.attributes}

    def _touch(self, entity: Entity, old: Record) -> Values:
        if "updated_at" not in entity.attributes:
            return {}
        return {"updated_at": max(self.stamp, old.attributes.updated_at or "") if self._is_late else self.stamp}

    def _put(self, entity: Entity, record: Record, is_touched: bool = False) -> None:
        """Store a record, and note whether readers by updated_at can see its change."""
        old = self._org.find(entity.name, record.id)
        self._org.put(entity.name, record)
        if old is not None:
            self._org.traces.note(entity, old, record, is_touched)

    def _store(self, entity: Entity, record: Record, is_touched: bool = False) -> None:
        self._put(entity, record, is_touched)
        if "primary" in entity.attributes and record.attributes.primary:
            self._demote_others(entity, record)
        self._recount(entity, record)

    def _demote_others(self, entity: Entity, record: Record) -> None:
        for pointer in pointers(record, "person"):
            for other in self._org.children(EDGES[PERSON][entity.segment], pointer.id):
                if other.id != record.id and other.attributes.primary:
                    self._put(entity, _changed(entity, other, {"primary": False}, {}))

    def _recount(self, entity: Entity, record: Record) -> None:
        """Update the parent's counts of its children, and a household's members, without moving its updated_at."""
        org = self._org
        parent = org.find(entity.under, record.parent) if entity.under else None
        if parent is None:
            return
        above = ENTITIES[entity.under]
        edge = EDGES[above.name][entity.segment]
        children = org.children(edge, parent.id)
        counts: Values = {name: len(children) for name, child in above.counts.items() if child == entity.name}
        targets: dict[str, Target] = {}
        if edge == MEMBERSHIP:
            targets["people"] = tuple(dict.fromkeys(p for child in children for p in pointers(child, "person")))
        if counts or targets:
            self._put(above, _changed(above, parent, counts, targets))

    def _unlink(self, entity: Entity, relation: Relation, gone: Pointer) -> int:
        """Remove the records that require a removed one, and clear the references of the others."""
        org, count = self._org, 0
        for record in _pointing(org, entity, relation, gone):
            if relation.required:
                count += self.delete(entity, record.id) if org.find(entity.name, record.id) else 0
            else:
                target = _moved(record, relation, gone, None)
                self._put(entity, _changed(entity, record, {}, {relation.name: target}))
        return count


def _found(org: Organisation, entity: Entity, id: str) -> Record:
    record = org.find(entity.name, id)
    if record is None:
        raise Rejected(f"{org.name} has no {entity.name} with the id {id!r}")
    return record


def _pointing(org: Organisation, entity: Entity, relation: Relation, at: Pointer) -> list[Record]:
    return org.children(Edge("", entity.name, relation.name), at.id)


def _demoted(org: Organisation, entity: Entity, person: str) -> Values:
    """The change of a record that moves to a person who already has some: it is not primary."""
    has_primary = "primary" in entity.attributes
    return {"primary": False} if has_primary and org.children(EDGES[PERSON][entity.segment], person) else {}


def _moved(record: Record, relation: Relation, old: Pointer, new: Pointer | None) -> Target:
    if not relation.many:
        return new
    replaced = (new if pointer == old else pointer for pointer in pointers(record, relation.name))
    return tuple(dict.fromkeys(pointer for pointer in replaced if pointer is not None))


def _alive(org: Organisation, relation: Relation, record: Record) -> Target:
    """The target of a generated record, or the first record if that target was removed."""
    target = record.targets[relation.name]
    if not isinstance(target, Pointer) or target.type != ENTITIES[relation.to].type:
        return target
    if relation.history or org.find(relation.to, target.id):
        return target
    first = next(iter(org.records(relation.to)), None)
    return Pointer(target.type, first) if first and relation.required else None


def _resolved(org: Organisation, entity: Entity, targets: Targets) -> dict[str, Target]:
    return {name: _target(org, _relation(entity, name), ids) for name, ids in targets.items()}


def _relation(entity: Entity, name: str) -> Relation:
    relation = entity.relation(name)
    if relation is None or not relation.to:
        raise Rejected(f"{entity.name} has no relationship {name!r} that can be written")
    return relation


def _target(org: Organisation, relation: Relation, ids: str | Sequence[str] | None) -> Target:
    to = ENTITIES[relation.to]
    many = isinstance(ids, Sequence) and not isinstance(ids, str)
    if many != relation.many or (ids is None and relation.required):
        raise Rejected(f"the relationship {relation.name!r} takes {'a list of ids' if relation.many else 'one id'}")
    if ids is None:
        return None
    listed = [ids] if isinstance(ids, str) else list(ids)
    found = tuple(Pointer(to.type, id if relation.history else _found(org, to, id).id) for id in listed)
    return found if relation.many else found[0]


def _changed(entity: Entity, record: Record, attributes: Mapping[str, Any], targets: Mapping[str, Target]) -> Record:
    unknown = sorted(attributes.keys() - entity.attributes.keys())
    if unknown:
        raise Rejected(f"{entity.name} has no attribute {', '.join(unknown)}")
    after = record.targets | dict(targets)
    values = dict(attributes) | repeated_ids(entity, after)
    return Record(record.id, record.parent, msgspec.structs.replace(record.attributes, **values), after)
