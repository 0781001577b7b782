"""Records of an organisation. A collection is generated at its first use, and then changed in place."""

from collections.abc import Iterable, Iterator
from datetime import timedelta

from service.dev.simulator.catalog import EDGES, ENTITIES, Edge, shape
from service.dev.simulator.draw import Draw
from service.dev.simulator.lives import Lives
from service.dev.simulator.record import Record, Target, number_of, pointers, repeated_ids
from service.dev.simulator.schema import Entity, Fan, Relation
from service.dev.simulator.selection import Selection
from service.dev.simulator.traces import Traces

SELECTIONS_MAX = 256  # filtered and ordered lists kept for an organisation; the oldest is dropped

SelectionKey = tuple[str, object]  # an entity, and which of its records in which order


class Organisation:
    """All collections of one organisation, and the indexes and selections derived from them.

    `clock_error`: by how much the clock of the API is ahead of the machine's, for this organisation.
    """

    def __init__(self, name: str, seed: int, people: int) -> None:
        self.name = name
        self.shape = shape(name, seed, people)
        self._draws: dict[str, Draw] = {}
        self._records: dict[str, dict[str, Record]] = {}
        self.lives = Lives()
        self.traces = Traces()
        self.clock_error = timedelta(0)
        self._indexes: dict[Edge, dict[str, dict[str, Record]]] = {}
        self._selections: dict[SelectionKey, Selection] = {}

    def records(self, entity: str) -> dict[str, Record]:
        """By id, in the order of ids as numbers."""
        found = self._records.get(entity)
        if found is None:
            found = self._records[entity] = {record.id: record for record in self._made(ENTITIES[entity])}
        return found

    def find(self, entity: str, id: str) -> Record | None:
        return self.records(entity).get(id)

    def children(self, edge: Edge, parent: str) -> list[Record]:
        """The edge's records below the parent with this id, in the order of ids as numbers."""
        index = self._indexes.get(edge)
        if index is None:
            index = self._indexes[edge] = {}
            for record in self.records(edge.child).values():
                _index(index, edge, None, record)
        return sorted(index.get(parent, {}).values(), key=number_of)

    def path(self, entity: Entity, record: Record) -> str:
        """The record's own path below the API's root."""
        if not entity.under:
            return f"/{entity.product}/v2/{entity.segment}/{record.id}"
        parent = self.find(entity.under, record.parent)
        above = self.path(ENTITIES[entity.under], parent) if parent else f"/{entity.product}/v2"
        return f"{above}/{entity.segment}" if entity.is_single else f"{above}/{entity.segment}/{record.id}"

    def selection(self, key: SelectionKey) -> Selection | None:
        return self._selections.get(key)

    def remember(self, key: SelectionKey, selection: Selection) -> None:
        if len(self._selections) >= SELECTIONS_MAX:
            del self._selections[next(iter(self._selections))]
        self._selections[key] = selection

    def make(self, entity: Entity, parent: str = "") -> Record:
        """A further record, generated like those before it, with the next id. Not stored."""
        self.records(entity.name)
        draw = self._draws[entity.name]
        parents = list(self.records(entity.under)) if entity.under else []
        above = parents.index(parent) if parent in parents else 0
        draw.move(draw.index + 1, above, draw.index + 1)
        return self._record(entity, draw, parent)

    def put(self, entity: str, record: Record) -> None:
        old = self.find(entity, record.id)
        self.records(entity)[record.id] = record
        self._replace(entity, old, record)

    def remove(self, entity: str, id: str) -> None:
        self._replace(entity, self.records(entity).pop(id, None), None)

    def _replace(self, entity: str, old: Record | None, new: Record | None) -> None:
        """In what is derived from the entity's records."""
        for edge, index in self._indexes.items():
            if edge.child == entity:
                _index(index, edge, old, new)
        for (of, _), selection in self._selections.items():
            if of == entity:
                selection.replace(old, new)

    def _made(self, entity: Entity) -> Iterator[Record]:
        draw = self._draws[entity.name] = Draw(self.shape, entity.name)
        for index, (parent, slot) in enumerate(self._slots(entity)):
            draw.move(index, parent, slot)
            above = str(self.shape.number(entity.under, parent)) if entity.under else ""
            yield self._record(entity, draw, above)

    def _slots(self, entity: Entity) -> Iterable[tuple[int, int]]:
        if isinstance(entity.amount, Fan):
            sizes = enumerate(self.shape.sizes[entity.name])
            return ((parent, slot) for parent, size in sizes for slot in range(size))
        return ((0, slot) for slot in range(self.shape.counts[entity.name]))

    def _record(self, entity: Entity, draw: Draw, parent: str) -> Record:
        values = entity.make(draw)
        targets: dict[str, Target] = {
            relation.name: values.pop(relation.name, () if relation.many else None) for relation in entity.relations
        }
        if "created_at" in entity.attributes:
            values["created_at"] = draw.created
        if "updated_at" in entity.attributes:
            values["updated_at"] = draw.updated
        values.update(repeated_ids(entity, targets))
        number = self.shape.number(entity.mirrors or entity.name, draw.index)
        return Record(str(number), parent, entity.struct(**values), targets)


def _index(index: dict[str, dict[str, Record]], edge: Edge, old: Record | None, new: Record | None) -> None:
    """Enter a record below each of its parents, in place of what it was before."""
    if old is not None:
        for id in _parents(edge, old):
            del index[id][old.id]
    if new is not None:
        for id in _parents(edge, new):
            index.setdefault(id, {})[new.id] = new


def _parents(edge: Edge, record: Record) -> Iterable[str]:
    if not edge.via:
        return (record.parent,)
    type = ENTITIES[_relation(edge).to].type
    return {pointer.id for pointer in pointers(record, edge.via) if pointer.type == type}


def _relation(edge: Edge) -> Relation:
    relation = ENTITIES[edge.child].relation(edge.via)
    assert relation is not None, f"the relationship of {edge} does not exist"
    return relation


def edges_to(entity: str) -> list[tuple[Entity, Relation]]:
    """Every relationship of any entity that points at `entity`, except those that are history."""
    return [
        (child, relation)
        for child in ENTITIES.values()
        for relation in child.relations
        if relation.to == entity and not relation.history
    ]


def own_children(entity: str) -> list[Edge]:
    """The collections that exist only below `entity`."""
    return [edge for edge in EDGES[entity].values() if not edge.via]
