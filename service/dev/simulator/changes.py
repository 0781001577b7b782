"""Changes that happen by themselves: which record, and what of it, by the seed."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import accumulate
from random import Random

from service.dev.simulator.catalog import EDGES, ENTITIES, known
from service.dev.simulator.editing import changing, counted, counters, edited
from service.dev.simulator.query import Query, select
from service.dev.simulator.rates import ChangeKind, LifeSpec
from service.dev.simulator.record import Record, pointers
from service.dev.simulator.schema import Entity, Relation
from service.dev.simulator.selection import Selection
from service.dev.simulator.store import Organisation
from service.dev.simulator.writes import HOUSEHOLD, MEMBERSHIP, MERGER, PERSON, Writes

TRIES = 10  # to find a record by chance of which something else holds as well
CHAIN_SHARE = 0.25  # of the merges: the person that was merged into last is removed

_EVERYTHING = Query.parse("")


@dataclass(frozen=True, slots=True)
class Prepared:
    """A record with its id that nobody can see yet, and the ids that it refers to."""

    entity: Entity
    record: Record
    targets: dict[str, str]


@dataclass(frozen=True, slots=True)
class Choice:
    """Entities to choose from, the larger ones more often. `power`: 1 is by their number of records."""

    entities: tuple[Entity, ...]
    weights: tuple[float, ...]

    @classmethod
    def of(cls, org: Organisation, entities: Iterable[Entity], power: float) -> "Choice":
        chosen = tuple(entities)
        return cls(chosen, tuple(accumulate(max(1, org.shape.counts[entity.name]) ** power for entity in chosen)))

    def draw(self, random: Random) -> Entity | None:
        return random.choices(self.entities, cum_weights=self.weights)[0] if self.entities else None


class Changes:
    """Of one organisation. Records of other products' persons come and go with their persons, PersonMergers with
    merges. Rejected for an entity that does not exist."""

    def __init__(self, org: Organisation, spec: LifeSpec, random: Random) -> None:
        self._org = org
        self._burst_rows = spec.burst_rows
        self._random = random
        self._number = 0
        self._winner = ""  # the person that was merged into last
        entities = [known(name) for name in spec.entities or ENTITIES if name != MERGER]
        self._has_households = {HOUSEHOLD, MEMBERSHIP.child} <= {entity.name for entity in entities}
        own = [entity for entity in entities if not entity.mirrors]
        self._coming = Choice.of(org, own, 0.5)
        self._going = Choice.of(org, own, 0.75)  # rarely one of the few records that half of the others stand below
        self._any_kind = Choice.of(org, entities, 0.5)
        self._stamped = Choice.of(org, (entity for entity in entities if "updated_at" in entity.attributes), 1)
        self._changing = Choice.of(org, (entity for entity in entities if changing(entity)), 0.5)
        self._counting = Choice.of(org, (entity for entity in entities if counters(entity)), 0.5)
        self._primary = Choice.of(org, (entity for entity in entities if "primary" in entity.attributes), 0.5)

    def make(self, kind: ChangeKind, writes: Writes, prepared: Prepared | None = None) -> str | None:
        """One change. The entity that it is of; None if there was nothing to change."""
        self._number += 1
        if kind == "insert":
            return self._insert(writes, prepared or self.prepare())
        changes: dict[ChangeKind, Callable[[Writes], str | None]] = {
            "burst": self._burst,
            "delete": self._delete,
            "edit": self._edit,
            "invisible": self._change_unseen,
            "merge": self._merge,
        }
        return changes[kind](writes)

    def prepare(self) -> Prepared | None:
        """A record that is to be inserted."""
        entity = self._coming.draw(self._random)
        parent = self._any(ENTITIES[entity.under]) if entity and entity.under else None
        if entity is None or (entity.under and parent is None):
            return None
        id = parent.id if parent else ""
        if entity.is_single and self._org.children(EDGES[entity.under][entity.segment], id):
            return None
        required = [r for r in entity.relations if r.required and r.to != entity.under]
        found = {relation.name: self._target(relation) for relation in required}
        targets = {name: target for name, target in found.items() if target}
        return Prepared(entity, self._org.make(entity, id), targets) if len(targets) == len(required) else None

    def _target(self, relation: Relation) -> str:
        target = self._any(ENTITIES[relation.to])
        return target.id if target else ""

    def _insert(self, writes: Writes, prepared: Prepared | None) -> str | None:
        if prepared is None:
            return None
        writes.insert_made(prepared.entity, prepared.record, {}, prepared.targets)
        return prepared.entity.name

    def _edit(self, writes: Writes) -> str | None:
        return self._edit_one(writes, self._any_kind.draw(self._random), is_touched=True)

    def _edit_one(self, writes: Writes, entity: Entity | None, is_touched: bool) -> str | None:
        record = self._any(entity)
        if entity is None or record is None:
            return None
        values = edited(entity, record, self._number, self._random)
        writes.edit(entity, record.id, values, {}, is_touched)
        return entity.name

    def _delete(self, writes: Writes) -> str | None:
        entity = self._going.draw(self._random)
        record = self._any(entity)
        if entity is None or record is None:
            return None
        writes.delete(entity, record.id)
        return entity.name

    def _burst(self, writes: Writes) -> str | None:
        """Adjacent records have one updated_at."""
        entity = self._stamped.draw(self._random)
        if entity is None:
            return None
        records = self._all(entity)
        first = self._random.randrange(max(1, len(records) - self._burst_rows + 1))
        for record in records[first : first + self._burst_rows]:
            writes.edit(entity, record.id, edited(entity, record, self._number, self._random), {}, is_touched=True)
        return entity.name

    def _merge(self, writes: Writes) -> str | None:
        person = ENTITIES[PERSON]
        is_chained = self._random.random() < CHAIN_SHARE and self._org.find(PERSON, self._winner) is not None
        remove = self._org.find(PERSON, self._winner) if is_chained else self._any(person)
        keep = self._any(person)
        if keep is None or remove is None or keep.id == remove.id:
            return None
        writes.merge(keep.id, remove.id)
        self._winner = keep.id
        return PERSON

    def _change_unseen(self, writes: Writes) -> str | None:
        way = self._random.choice((self._demote, self._join, self._leave, self._count, self._change_quietly))
        return way(writes) or self._change_quietly(writes)

    def _change_quietly(self, writes: Writes) -> str | None:
        return self._edit_one(writes, self._changing.draw(self._random), is_touched=False)

    def _demote(self, writes: Writes) -> str | None:
        """Another one becomes a person's primary one, and the old one, which this is about, no longer is."""
        entity = self._primary.draw(self._random)
        for _ in range(TRIES if entity else 0):
            record = self._any(entity)
            if entity and record and not record.attributes.primary and self._has_primary(entity, record):
                writes.edit(entity, record.id, {"primary": True}, {}, is_touched=True)
                return entity.name
        return None

    def _has_primary(self, entity: Entity, record: Record) -> bool:
        owners = (pointer.id for pointer in pointers(record, "person"))
        edge = EDGES[PERSON][entity.segment]
        return any(one.attributes.primary for owner in owners for one in self._org.children(edge, owner))

    def _join(self, writes: Writes) -> str | None:
        household, person = self._any(ENTITIES[HOUSEHOLD]), self._any(ENTITIES[PERSON])
        if not self._has_households or household is None or person is None:
            return None
        if person.id in {pointer.id for pointer in pointers(household, "people")}:
            return None
        named = {"person_name": person.attributes.name}
        writes.insert(ENTITIES[MEMBERSHIP.child], household.id, named, {"person": person.id})
        return HOUSEHOLD

    def _leave(self, writes: Writes) -> str | None:
        membership = self._any(ENTITIES[MEMBERSHIP.child])
        if not self._has_households or membership is None:
            return None
        writes.delete(ENTITIES[MEMBERSHIP.child], membership.id)
        return HOUSEHOLD

    def _count(self, writes: Writes) -> str | None:
        entity = self._counting.draw(self._random)
        record = self._any(entity)
        if entity is None or record is None:
            return None
        writes.edit(entity, record.id, counted(entity, record, self._random), {}, is_touched=False)
        return entity.name

    def _all(self, entity: Entity) -> Selection:
        """Those that unfiltered lists have."""
        return select(self._org, entity, _EVERYTHING, "", self._org.records(entity.name).values())

    def _any(self, entity: Entity | None) -> Record | None:
        records = self._all(entity) if entity else None
        return self._random.choice(records) if records else None
