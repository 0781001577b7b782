"""Writes by other people, with the side effects that Planning Center has and that a delta pass cannot see.

A new primary email demotes the old one without moving its updated_at; joining or leaving a household moves neither
the household's nor the person's; a delete leaves nothing; in a merge the loser's children move to the winner as they
are.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from service.clock import Clock
from service.dev.simulator.catalog import EDGES, ENTITIES, Edge
from service.dev.simulator.draw import Pointer
from service.dev.simulator.schema import Entity, Relation, Values
from service.dev.simulator.store import Organisation, Record, Target, edges_to, own_children, pointers, repeated_ids
from topics.errors import Rejected

PERSON = "people.person"
MERGER = "people.person_merger"
MEMBERSHIP = Edge("household_memberships", "people.household_membership")

Targets = Mapping[str, str | Sequence[str] | None]


class Writes:
    """Writes to one organisation at a time. Raises Rejected for what cannot be: the sentence says which part."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def insert(self, org: Organisation, entity: Entity, parent: str, attributes: Values, targets: Targets) -> Record:
        """A new record, made up like the others but for what is given."""
        parent = self._parent(org, entity, parent)
        made = org.make(entity, parent)
        above = {
            r.name: Pointer(ENTITIES[r.to].type, parent) for r in entity.relations if r.to and r.to == entity.under
        }
        stand_in = {relation.name: _alive(org, relation, made) for relation in entity.relations if relation.to}
        stamps = {name: self._now() for name in ("created_at", "updated_at") if name in entity.attributes}
        made = msgspec.structs.replace(made, targets=made.targets | stand_in | above)
        record = _changed(entity, made, stamps | attributes, _resolved(org, entity, targets))
        self._store(org, entity, record)
        return record

    def edit(
        self, org: Organisation, entity: Entity, id: str, attributes: Values, targets: Targets, is_touched: bool
    ) -> Record:
        """A change. `is_touched`: updated_at moves to now (where there is one, and unless it is given)."""
        stamp = {"updated_at": self._now()} if is_touched and "updated_at" in entity.attributes else {}
        record = _changed(entity, _found(org, entity, id), stamp | attributes, _resolved(org, entity, targets))
        self._store(org, entity, record)
        return record

    def delete(self, org: Organisation, entity: Entity, id: str) -> int:
        """Remove a record and what makes no sense without it; other references become null. How many went."""
        record = _found(org, entity, id)
        org.remove(entity.name, id)
        gone = 1
        for edge in own_children(entity.name):
            for child in list(org.children(edge, id)):
                gone += self.delete(org, ENTITIES[edge.child], child.id)
        gone += sum(
            self._let_go(org, child, relation, Pointer(entity.type, id)) for child, relation in edges_to(entity.name)
        )
        self._recount(org, entity, record)
        return gone

    def merge(self, org: Organisation, keep: str, remove: str) -> Record:
        """Two persons become one: children move, the loser is gone, a PersonMerger tells of it."""
        person = ENTITIES[PERSON]
        old, new = (Pointer(person.type, _found(org, person, id).id) for id in (remove, keep))
        if old == new:
            raise Rejected("a person cannot be merged with itself")
        for entity, relation in edges_to(PERSON):
            for record in _pointing(org, entity, relation, old):
                target = {relation.name: _moved(record, relation, old, new)}
                self._store(org, entity, _changed(entity, record, _demoted(org, entity, keep), target))
        org.remove(PERSON, remove)
        org.put(PERSON, _changed(person, _found(org, person, keep), {"updated_at": self._now()}, {}))
        merger = ENTITIES[MERGER]
        return self.insert(org, merger, "", {}, {"person_to_keep": keep, "person_to_remove": remove})

    def _now(self) -> str:
        return self._clock.now().isoformat()[:19] + "Z"

    def _parent(self, org: Organisation, entity: Entity, parent: str) -> str:
        if not entity.under:
            return ""
        above = ENTITIES[entity.under]
        first = next(iter(org.records(above.name)), "")
        return _found(org, above, parent or first).id

    def _store(self, org: Organisation, entity: Entity, record: Record) -> None:
        org.put(entity.name, record)
        if "primary" in entity.attributes and record.attributes.primary:
            self._demote_others(org, entity, record)
        self._recount(org, entity, record)

    def _demote_others(self, org: Organisation, entity: Entity, record: Record) -> None:
        for pointer in pointers(record, "person"):
            for other in list(org.children(EDGES[PERSON][entity.segment], pointer.id)):
                if other.id != record.id and other.attributes.primary:
                    org.put(entity.name, _changed(entity, other, {"primary": False}, {}))

    def _recount(self, org: Organisation, entity: Entity, record: Record) -> None:
        """The parent's counts of its children, and a household's members, follow without moving its updated_at."""
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
            org.put(above.name, _changed(above, parent, counts, targets))

    def _let_go(self, org: Organisation, entity: Entity, relation: Relation, gone: Pointer) -> int:
        """What pointed at a record that is gone: removed if it needed it, else pointing nowhere."""
        count = 0
        for record in _pointing(org, entity, relation, gone):
            if relation.required:
                count += self.delete(org, entity, record.id) if org.find(entity.name, record.id) else 0
            else:
                target = _moved(record, relation, gone, None)
                org.put(entity.name, _changed(entity, record, {}, {relation.name: target}))
        return count


def _found(org: Organisation, entity: Entity, id: str) -> Record:
    record = org.find(entity.name, id)
    if record is None:
        raise Rejected(f"{org.name} has no {entity.name} with the id {id!r}")
    return record


def _pointing(org: Organisation, entity: Entity, relation: Relation, at: Pointer) -> list[Record]:
    return [record for record in org.records(entity.name).values() if at in pointers(record, relation.name)]


def _demoted(org: Organisation, entity: Entity, person: str) -> Values:
    """What a record that comes to a person who has some already loses."""
    has_primary = "primary" in entity.attributes
    return {"primary": False} if has_primary and org.children(EDGES[PERSON][entity.segment], person) else {}


def _moved(record: Record, relation: Relation, old: Pointer, new: Pointer | None) -> Target:
    if not relation.many:
        return new
    replaced = (new if pointer == old else pointer for pointer in pointers(record, relation.name))
    return tuple(dict.fromkeys(pointer for pointer in replaced if pointer is not None))


def _alive(org: Organisation, relation: Relation, record: Record) -> Target:
    """Where a made-up record points, or the first record there is if that one has gone."""
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
