"""Every entity by its name, and every edge: a collection that also stands below a record of another one."""

from dataclasses import dataclass

from service.dev.simulator.draw import Shape
from service.dev.simulator.products import calendar, checkins, giving, groups, people, services
from service.dev.simulator.schema import Entity, Fan

ENTITIES: dict[str, Entity] = {
    entity.name: entity
    for product in (people, groups, checkins, giving, services, calendar)
    for entity in product.ENTITIES
}


@dataclass(frozen=True, slots=True)
class Edge:
    """A path segment below a parent's record. `via`: the child's relationship that names the parent.

    Where `via` is empty the child stands nowhere but under its parent, which only its path names.
    """

    segment: str
    child: str
    via: str = ""


def _edges(parent: Entity) -> dict[str, Edge]:
    """A relationship makes an edge if the child makes no sense without its target, or has many of them."""
    edges: dict[str, Edge] = {}
    for child in ENTITIES.values():
        if child.under == parent.name:
            edges[child.segment] = Edge(child.segment, child.name)
            continue
        if child.product != parent.product:
            continue
        for relation in child.relations:
            if relation.to == parent.name and (relation.required or relation.many) and child.segment not in edges:
                edges[child.segment] = Edge(child.segment, child.name, relation.name)
    return edges


EDGES: dict[str, dict[str, Edge]] = {entity.name: _edges(entity) for entity in ENTITIES.values()}
TOP_LEVEL: dict[tuple[str, str], Entity] = {
    (entity.product, entity.segment): entity for entity in ENTITIES.values() if not entity.under
}


def shape(org: str, seed: int, people: int) -> Shape:
    """How much of everything an organisation with so many people has."""
    counts: dict[str, int] = {}
    sizes: dict[str, list[int]] = {}
    waiting = list(ENTITIES.values())
    while waiting:  # each round settles at least the entities one level further down
        for entity in waiting:
            if not isinstance(entity.amount, Fan):
                counts[entity.name] = entity.amount(people)
            elif entity.amount.parent in counts:
                sizes[entity.name] = entity.amount.sizes(counts[entity.amount.parent], people)
                counts[entity.name] = sum(sizes[entity.name])
        waiting = [entity for entity in waiting if entity.name not in counts]
    return Shape(org, seed, counts, {name: entity.type for name, entity in ENTITIES.items()}, sizes)
