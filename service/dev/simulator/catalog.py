"""Catalogue of the entities by name, and of the edges: collections below a record of another entity."""

from dataclasses import dataclass

from service.dev.simulator.draw import Shape
from service.dev.simulator.products import calendar, checkins, giving, groups, people, services
from service.dev.simulator.schema import Entity, Fan
from topics.errors import Rejected

ENTITIES: dict[str, Entity] = {
    entity.name: entity
    for product in (people, groups, checkins, giving, services, calendar)
    for entity in product.ENTITIES
}


@dataclass(frozen=True, slots=True)
class Edge:
    """A path segment below a parent's record. `via`: the child's relationship that names the parent.

    Where `via` is empty the child exists only below its parent, which only its path names.
    """

    segment: str
    child: str
    via: str = ""


def _edges(parent: Entity) -> dict[str, Edge]:
    """A relationship makes an edge if the child requires its target or has many of them, or if it says so."""
    edges: dict[str, Edge] = {}
    for child in ENTITIES.values():
        if child.under == parent.name:
            edges[child.segment] = Edge(child.segment, child.name)
            continue
        if child.product != parent.product:
            continue
        for relation in child.relations:
            is_usual = relation.required or relation.many
            makes_edge = is_usual if relation.edge is None else relation.edge
            if relation.to == parent.name and makes_edge and child.segment not in edges:
                edges[child.segment] = Edge(child.segment, child.name, relation.name)
    return edges


EDGES: dict[str, dict[str, Edge]] = {entity.name: _edges(entity) for entity in ENTITIES.values()}
TOP_LEVEL: dict[tuple[str, str], Entity] = {
    (entity.product, entity.segment): entity for entity in ENTITIES.values() if not entity.under
}


def known(name: str) -> Entity:
    if name not in ENTITIES:
        raise Rejected(f"there is no entity {name!r}; there are: {', '.join(sorted(ENTITIES))}")
    return ENTITIES[name]


def shape(org: str, seed: int, people: int) -> Shape:
    """The number of records of each entity in an organisation of so many people."""
    counts: dict[str, int] = {}
    sizes: dict[str, list[int]] = {}
    left = list(ENTITIES.values())
    while left:  # each round counts at least the entities of one more level
        for entity in left:
            if not isinstance(entity.amount, Fan):
                counts[entity.name] = entity.amount(people)
            elif entity.amount.parent in counts:
                sizes[entity.name] = entity.amount.sizes(counts[entity.amount.parent], people)
                counts[entity.name] = sum(sizes[entity.name])
        left = [entity for entity in left if entity.name not in counts]
    return Shape(org, seed, counts, {name: entity.type for name, entity in ENTITIES.items()}, sizes)
