"""Checks across the files of an adapter: names, references, columns. Pure; reports the first problem."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from manifests.entity import (
    BRACES,
    ORGANISATION,
    RESERVED_COLUMNS,
    Adapter,
    Entity,
    columns,
    is_key_joined,
    is_one,
    table_name,
)
from manifests.graph import adapter_edges, hard_loop, loop_text, unknown_target

ENTITIES_MAX = 200  # of one adapter: a main sync keeps a line for each of them in its record
COLUMNS_MAX = 200
TABLE_NAME_BYTES_MAX = 63  # PostgreSQL cuts longer names off
ORDER_TYPES = ("integer", "text", "timestamp")
RESERVED_ADAPTERS = frozenset({"sluice", "sqlite"})  # sluice_… are our own tables, sqlite_… SQLite's

Found = Iterator[tuple[tuple[str | int, ...], str]]


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem and its place: an entity's file, or adapter.yaml where `entity` is empty."""

    entity: str
    place: tuple[str | int, ...]
    reason: str


def first_problem(adapter: Adapter) -> Problem | None:
    """The first one in the order of the files' names; None says that the adapter can be used."""
    return next(_problems(adapter), None)


def _problems(adapter: Adapter) -> Iterator[Problem]:
    yield from _adapter_file(adapter)
    for name in sorted(adapter.entities):
        entity = adapter.entities[name]
        reads = (*_reads(adapter, entity), *_delta(adapter, entity))
        for place, reason in (*_table(adapter, entity), *_columns(entity), *reads, *_self(entity)):
            yield Problem(name, place, reason)
    yield from _graph(adapter)
    for name in sorted(adapter.entities):  # from here on every parent and every reference is known to exist
        entity = adapter.entities[name]
        for reason in _path(adapter, entity):
            yield Problem(name, ("path",), reason)
        for column, reference in entity.references.items():
            if is_key_joined(adapter.entities[reference.entity]):
                reason = f"the key of {reference.entity} has several parts, which no value of a record is; use a field"
                yield Problem(name, ("references", column, "entity"), reason)


def _adapter_file(adapter: Adapter) -> Iterator[Problem]:
    if adapter.name in RESERVED_ADAPTERS:
        yield Problem("", ("name",), f"tables that begin with {adapter.name}_ are not for adapters; take another name")
    if not 1 <= len(adapter.entities) <= ENTITIES_MAX:
        yield Problem("", ("name",), f"has {len(adapter.entities)} entities; an adapter has 1 to {ENTITIES_MAX}")
    products = adapter.file.products
    used = {name.partition(".")[0] for name in adapter.entities}
    for product in sorted(products.keys() - used):
        yield Problem("", ("products", product), "no entity is of this product")
    for product in sorted(used - products.keys() if products else ()):
        yield Problem("", ("products",), f"there are entities of {product}, which is not named here")


def _table(adapter: Adapter, entity: Entity) -> Found:
    table = table_name(adapter.name, entity.name)
    if len(table.encode()) > TABLE_NAME_BYTES_MAX:
        yield (
            ("name",),
            f"its table {table} would have a name of {len(table)} bytes; {TABLE_NAME_BYTES_MAX} are possible",
        )
    for other in sorted(adapter.entities):
        if other < entity.name and table_name(adapter.name, other) == table:
            yield ("name",), f"its table {table} is that of {other}, too; rename one of them"


def _columns(entity: Entity) -> Found:
    specs = columns(entity)
    if len(specs) > COLUMNS_MAX:
        yield (), f"has {len(specs)} columns; {COLUMNS_MAX} are possible"
    for place, name in _column_places(entity):
        if name in RESERVED_COLUMNS:
            yield place, f"every table has a column {name} of its own; take another name"
    for name, count in Counter(spec.name for spec in specs).items():
        if count > 1:
            place = ("references", name) if name in entity.references else ("fields", name)
            yield place, f"column {name} is defined {count} times (under, references, fields)"


def _column_places(entity: Entity) -> Iterator[tuple[tuple[str, ...], str]]:
    if entity.under:
        yield ("under", "column"), entity.under.column
    for name in entity.references:
        yield ("references", name), name
    for name in entity.fields:
        yield ("fields", name), name


def _reads(adapter: Adapter, entity: Entity) -> Found:
    size_max = adapter.file.size_max
    if size_max is not None and entity.paging.size > size_max:
        yield ("paging", "size"), f"{entity.paging.size} records a page; this API gives at most {size_max}"
    order = entity.reads.full.order
    if order and is_one(entity):
        yield ("reads", "full", "order"), "a single record has no order"
    if entity.paging.style == "link" and is_one(entity):
        yield ("paging",), "a single record has no pages"
    for number, field in enumerate(order.by if order else ()):
        if field.type not in ORDER_TYPES:
            yield ("reads", "full", "order", "by", number), f"is {field.type}; an order is by {', '.join(ORDER_TYPES)}"
        if field.descending:
            yield ("reads", "full", "order", "by", number), "descends; a new record must come last in a full read"


def _delta(adapter: Adapter, entity: Entity) -> Found:
    delta = entity.reads.delta
    times = {field.source for field in entity.fields.values() if field.type == "timestamp"} | {entity.updated_at}
    if delta and delta.field not in times:
        yield ("reads", "delta", "field"), f"{delta.field} is neither updated_at nor the source of a timestamp field"
    if delta and delta.is_filtered and adapter.file.parameters.since is None:
        yield ("reads", "delta", "by"), f"{delta.by} needs parameters.since in adapter.yaml, which asks for it"
    if delta and not delta.is_filtered and adapter.file.body.next is None:
        yield ("reads", "delta", "by"), f"{delta.by} needs body.next in adapter.yaml, since it follows links"


def _self(entity: Entity) -> Found:
    if entity.under and entity.under.entity == entity.name:
        yield ("under", "entity"), "an entity cannot be read under itself"
    if entity.name in (*entity.after.hard, *entity.after.soft):
        yield ("after",), "an entity cannot wait for itself"


def _graph(adapter: Adapter) -> Iterator[Problem]:
    found = adapter_edges(adapter)
    stray = unknown_target(found)
    if stray:
        yield Problem(stray.entity, stray.place, f"there is no entity {stray.target} in adapter {adapter.name}")
    elif loop := hard_loop(found):
        reason = f"hard dependencies form a cycle: {loop_text(loop)}; one of the references must be optional"
        yield Problem(loop[0].entity, loop[0].place, reason)


def _path(adapter: Adapter, entity: Entity) -> Iterator[str]:
    named = set(BRACES.findall(entity.path)) - {ORGANISATION}
    if re.search(r"[{}]", BRACES.sub("", entity.path)):
        yield "a brace is not closed, or holds no name"
    if not entity.under:
        if named:
            yield f"names {_list(named)}, but without a parent (under) only {{{ORGANISATION}}} has a meaning"
        return
    parent = adapter.entities[entity.under.entity]
    known = {"id"} | {spec.name for spec in columns(parent)}
    if named - known:
        yield f"names {_list(named - known)}; a row of the parent {parent.name} has {_list(known)}"
    if not named:
        yield f"does not name the parent {parent.name}, so it would be the same for each of its rows; use {{id}}"
    for column in sorted(named & _joined_columns(adapter, parent)):
        yield f"names {{{column}}}, a key of several parts, which the API does not know; name a column with its own id"


def _joined_columns(adapter: Adapter, entity: Entity) -> set[str]:
    """The columns of a row that hold a key of several parts: its own, and that of its parent."""
    joined = {"id"} if is_key_joined(entity) else set()
    if entity.under and is_key_joined(adapter.entities[entity.under.entity]):
        joined.add(entity.under.column)
    return joined


def _list(names: set[str]) -> str:
    return ", ".join(f"{{{name}}}" for name in sorted(names))
