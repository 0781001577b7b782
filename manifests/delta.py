"""Deltas: how an entity is read by its changes. It is the same reading as that of everything, of another list. Pure.

The API is asked for what changed since a moment, inclusive, or for everything from the newest change on, which is read
down to that moment. Both lists have an order, so that a delta proves like a full read that it missed nothing: a record
that changes meanwhile leaves its place for one behind all that is read, or in front of it, and the next delta reads it.
"""

from collections.abc import Container
from datetime import UTC, datetime

from manifests.entity import Adapter, AdapterFile, After, DeltaRead, Entity, FullRead, LinkPaging, Order, OrderField

FIELDS_MAX = 4  # of an order


def can_delta(entity: Entity) -> bool:
    """Whether changes can be asked for. Of what stands under parents they cannot: that is read under parents that have
    changed."""
    return entity.reads.delta is not None and entity.under is None


def has_delta(adapter: Adapter, entity: Entity) -> bool:
    """Whether the entity is part of a delta: by its own changes, or by those of its parents."""
    while entity.under is not None:
        entity = adapter.entities[entity.under.entity]
    return can_delta(entity)


def is_walked(entity: Entity) -> bool:
    """Whether a delta reads from the newest change on until it meets what is older, since the API has no filter."""
    return entity.reads.delta is not None and not entity.reads.delta.is_filtered


def delta_entities(adapter: Adapter) -> Adapter:
    """The adapter with only those entities that are part of a delta; what others they wait for in a full sync is left
    out."""
    kept = {name: one for name, one in adapter.entities.items() if has_delta(adapter, one)}
    return adapter.model_copy(update={"entities": {name: _among(one, kept) for name, one in kept.items()}})


def _among(entity: Entity, kept: Container[str]) -> Entity:
    references = {name: one for name, one in entity.references.items() if one.entity in kept}
    after = After(
        hard=tuple(name for name in entity.after.hard if name in kept),
        soft=tuple(name for name in entity.after.soft if name in kept),
    )
    return entity.model_copy(update={"references": references, "after": after})


def changes_since(file: AdapterFile, entity: Entity, since: datetime) -> Entity:
    """The entity whose full read is that of the changes since then. Call it for one that `can_delta`."""
    delta = entity.reads.delta
    assert delta is not None
    read = _filtered(file, entity, delta, since) if delta.is_filtered else _walked(file, entity, delta)
    paging = LinkPaging(style="link", size=entity.paging.size) if is_walked(entity) else entity.paging
    return entity.model_copy(update={"reads": entity.reads.model_copy(update={"full": read}), "paging": paging})


def _filtered(file: AdapterFile, entity: Entity, delta: DeltaRead, since: datetime) -> FullRead:
    full = entity.reads.full
    assert file.parameters.since is not None
    name = file.parameters.since.format(field=delta.parameter)
    query = {**full.query, name: since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}
    order = full.order if delta.by == "where" else _by_time(entity, delta, False, delta.parameter)
    return FullRead(order=order, query=query)


def _walked(file: AdapterFile, entity: Entity, delta: DeltaRead) -> FullRead:
    order = _by_time(entity, delta, True, f"{file.parameters.descending}{delta.parameter}")
    return FullRead(order=order, query=entity.reads.full.query)


def _by_time(entity: Entity, delta: DeltaRead, descending: bool, parameter: str) -> Order:
    """By the time, and records of one time as in a full read."""
    full = entity.reads.full.order
    time = OrderField.model_validate({"type": "timestamp", "from": delta.field, "descending": descending})
    evidence = full.evidence if full else "The order of the changes."
    return Order(by=(time, *(full.by if full else ()))[:FIELDS_MAX], parameter=parameter, evidence=evidence)
