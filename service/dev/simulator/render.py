"""Documents: JSON:API as Planning Center writes it, key order included."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from service.dev.simulator import unkind
from service.dev.simulator.catalog import EDGES, ENTITIES, TOP_LEVEL, Edge
from service.dev.simulator.draw import Pointer
from service.dev.simulator.faults import FaultSpec
from service.dev.simulator.query import Query, abilities, select
from service.dev.simulator.record import Record
from service.dev.simulator.routes import Listing, Root, Single
from service.dev.simulator.schema import Entity, Relation
from service.dev.simulator.store import Organisation

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Writer:
    """Writes one document. `root` is the API's address without a path, as the client sees it."""

    org: Organisation
    root: str
    query: Query
    included_when_empty: bool

    def listing(self, listing: Listing, path: str, changes: Sequence[FaultSpec] = ()) -> bytes:
        query = self.query
        heeded = unkind.heeded(query, changes)
        selection = select(self.org, listing.entity, heeded, listing.scope, listing.records)
        selection = unkind.listed(selection, changes)
        window = unkind.window_of(query, selection, changes)
        shown = selection[window.offset : window.offset + window.per_page]
        offsets = _offsets(window, len(selection))
        base = self.root + path
        links = {"self": _address(base, query.text())}
        links.update({name: _address(base, query.text(offset=offset)) for name, offset in offsets.items()})
        document: Json = {"links": links, "data": [self.resource(listing.entity, record) for record in shown]}
        self._include(document, listing.entity, shown)
        document["meta"] = {
            "total_count": len(selection),
            "count": len(shown),
            **{name: {"offset": offset} for name, offset in offsets.items()},
            **{name: names for name, names in abilities(listing.entity).items() if names},
            "parent": {"id": listing.owner.id, "type": listing.owner.type},
        }
        unkind.change_document(unkind.Listed(query, window, shown, document), changes)
        return msgspec.json.encode(document)

    def single(self, single: Single) -> bytes:
        entity = single.entity
        data = self.resource(entity, single.record)
        data["links"] = self._edge_links(entity, single.record) | data["links"]
        document: Json = {"data": data}
        self._include(document, entity, [single.record])
        able = {"can_include": entity.include} if entity.include else {}
        organization = self.org.shape.organization
        document["meta"] = able | {"parent": {"id": organization.id, "type": organization.type}}
        return msgspec.json.encode(document)

    def root_document(self, root: Root) -> bytes:
        base = f"{self.root}/{root.product}/v2"
        segments = sorted(segment for product, segment in TOP_LEVEL if product == root.product)
        pointer = self.org.shape.organization
        data = {
            "type": pointer.type,
            "id": pointer.id,
            "attributes": {"name": self.org.name},
            "links": {segment: f"{base}/{segment}" for segment in segments} | {"self": base},
        }
        return msgspec.json.encode({"data": data, "meta": {"parent": {"id": pointer.id, "type": pointer.type}}})

    def resource(self, entity: Entity, record: Record, included: Sequence[str] | None = None) -> Json:
        """A resource as in a list, with its included relationships: if not given, those of the resources of `data`."""
        own = self.root + self.org.path(entity, record)
        resource: Json = {"type": entity.type, "id": record.id, "attributes": self._attributes(entity, record)}
        relationships: Json = {
            relation.name: {"data": record.targets[relation.name]} for relation in entity.relations if relation.shown
        }
        for name in self.query.included(entity) if included is None else included:
            relationships[name] = {"data": self._related(entity, record, name), "links": {"related": f"{own}/{name}"}}
        fields = self.query.fields.get(entity.type)
        if fields is not None:
            relationships = {name: value for name, value in relationships.items() if name in fields}
        if relationships:
            resource["relationships"] = relationships
        resource["links"] = {"self": own}
        if entity.has_page:
            resource["links"] |= {"html": f"{self.root}/pages/{record.id}"}
        return resource

    def _attributes(self, entity: Entity, record: Record) -> Any:
        fields = self.query.fields.get(entity.type)
        if fields is None:
            return entity.unasked(record.attributes)
        return {name: value for name, value in msgspec.structs.asdict(record.attributes).items() if name in fields}

    def _related(self, entity: Entity, record: Record, name: str) -> Pointer | tuple[Pointer, ...] | None:
        if entity.relation(name) is not None:
            return record.targets[name]
        edge = EDGES[entity.name][name]
        child = ENTITIES[edge.child]
        found = tuple(Pointer(child.type, one.id) for one in self.org.children(edge, record.id))
        return next(iter(found), None) if child.is_single else found

    def _include(self, document: Json, entity: Entity, shown: Iterable[Record]) -> None:
        """The included resources, each once, in the order in which the data names them."""
        resources: dict[tuple[str, str], Json] = {}
        names = self.query.included(entity)
        for record in shown if names else ():
            for name in names:
                self._include_edge(resources, entity, record, name)
        if resources or self.included_when_empty:
            document["included"] = list(resources.values())

    def _include_edge(self, resources: dict[tuple[str, str], Json], entity: Entity, record: Record, name: str) -> None:
        """The records that an edge leads to, and those that their own included edges lead to."""
        target, records = self._targets(entity, record, name)
        below = self.query.included_below(name, target)
        for one in records:
            if (target.type, one.id) not in resources:
                resources[(target.type, one.id)] = self.resource(target, one, below)
                for edge in below:
                    further, found = self._targets(target, one, edge)
                    for other in found:
                        resources.setdefault((further.type, other.id), self.resource(further, other, ()))

    def _targets(self, entity: Entity, record: Record, name: str) -> tuple[Entity, list[Record]]:
        relation: Relation | None = entity.relation(name)
        edge: Edge | None = EDGES[entity.name].get(name)
        if relation is None and edge is not None:
            return ENTITIES[edge.child], self.org.children(edge, record.id)
        assert relation is not None, f"{entity.name} cannot include {name}"
        target = ENTITIES[relation.to]
        related = self._related(entity, record, name)
        pointers = (related,) if isinstance(related, Pointer) else related or ()
        found = (self.org.find(target.name, pointer.id) for pointer in pointers)
        return target, [one for one in found if one is not None]

    def _edge_links(self, entity: Entity, record: Record) -> dict[str, str | None]:
        """One address for each edge; null for a to-one that is not set."""
        own = self.root + self.org.path(entity, record)
        links: dict[str, str | None] = {}
        for segment, edge in EDGES[entity.name].items():
            is_unset = ENTITIES[edge.child].is_single and not self.org.children(edge, record.id)
            links[segment] = None if is_unset else f"{own}/{segment}"
        for relation in entity.relations:
            if relation.shown or relation.name in entity.include:
                links[relation.name] = f"{own}/{relation.name}" if record.targets[relation.name] else None
        return dict(sorted(links.items()))


def _offsets(query: Query, total: int) -> dict[str, int]:
    """Offsets of the next and the previous page, if there is one. With per_page=0 the next page is the same."""
    offsets: dict[str, int] = {}
    if query.offset + query.per_page < total:
        offsets["next"] = query.offset + query.per_page
    if query.offset > 0:
        offsets["prev"] = max(0, query.offset - query.per_page)
    return offsets


def _address(base: str, query: str) -> str:
    return f"{base}?{query}" if query else base
