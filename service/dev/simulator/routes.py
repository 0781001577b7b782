"""Routes: the collection, record or root that a path names."""

from collections.abc import Iterable
from dataclasses import dataclass

from service.dev.simulator.catalog import EDGES, ENTITIES, TOP_LEVEL
from service.dev.simulator.draw import Pointer
from service.dev.simulator.record import Record, number_of, pointers
from service.dev.simulator.schema import Entity
from service.dev.simulator.store import Organisation

SEGMENTS_MAX = 8  # below /{product}/v2
PRODUCTS = frozenset(entity.product for entity in ENTITIES.values())
ALIASES = {"check_ins": "check-ins"}


@dataclass(frozen=True, slots=True)
class Listing:
    """A collection: all of an entity (scope is empty), or the records below one record.

    `via`: the relationship by which the records name that one, if they do.
    """

    entity: Entity
    records: Iterable[Record]
    scope: str
    owner: Pointer
    via: str = ""


@dataclass(frozen=True, slots=True)
class Single:
    entity: Entity
    record: Record


@dataclass(frozen=True, slots=True)
class Root:
    """GET /{product}/v2: the organisation itself."""

    product: str


Found = Listing | Single | Root | None


def resolve(org: Organisation, path: str) -> Found:
    """The target of the path. None is a 404: an unknown collection or edge, a missing record, an unset to-one."""
    words = path.strip("/").split("/")
    product = ALIASES.get(words[0], words[0])
    if product not in PRODUCTS or len(words) < 2 or words[1] != "v2" or len(words) > 2 + SEGMENTS_MAX:
        return None
    if len(words) == 2:
        return Root(product)
    found = _start(org, product, words[2])
    for word in words[3:]:
        found = _member(org, found, word) if isinstance(found, Listing) else _below(org, found, word)
    return found


def _start(org: Organisation, product: str, segment: str) -> Found:
    if (product, segment) == ("people", "me"):
        person = next(iter(org.records("people.person").values()), None)
        return Single(ENTITIES["people.person"], person) if person else None
    entity = TOP_LEVEL.get((product, segment))
    if entity is None:
        return None
    return Listing(entity, org.records(entity.name).values(), "", org.shape.organization)


def _member(org: Organisation, listing: Listing, id: str) -> Found:
    found = org.find(listing.entity.name, id)
    if found is None or (listing.scope and found not in listing.records):
        return None
    return Single(listing.entity, found)


def _below(org: Organisation, found: Found, segment: str) -> Found:
    """An edge of a record: a collection, its single record, or the target of a relationship."""
    if not isinstance(found, Single):
        return None
    above, record = found.entity, found.record
    edge = EDGES[above.name].get(segment)
    owner = Pointer(above.type, record.id)
    scope = f"{above.name}/{record.id}/{segment}"
    if edge is not None and ENTITIES[edge.child].is_single:
        only = next(iter(org.children(edge, record.id)), None)
        return Single(ENTITIES[edge.child], only) if only else None
    if edge is not None:
        return Listing(ENTITIES[edge.child], org.children(edge, record.id), scope, owner, edge.via)
    relation = above.relation(segment)
    if relation is None or relation.to not in ENTITIES:
        return None
    target = ENTITIES[relation.to]
    ids = [pointer.id for pointer in pointers(record, segment) if pointer.type == target.type]
    alive = [one for id in ids if (one := org.find(target.name, id)) is not None]
    if relation.many:
        return Listing(target, sorted(alive, key=number_of), scope, owner)
    return Single(target, alive[0]) if alive else None
