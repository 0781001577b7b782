"""Dependency graph of entities, derived from references. Pure; knows no files.

A hard dependency is complete before an entity starts; a soft one has ended, in whatever way. References of an entity to
itself do not count.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Literal

from manifests.entity import Adapter, Entity


@dataclass(frozen=True, slots=True)
class Edge:
    """`entity` depends on `target`; `place` is where in the entity's file that is said."""

    entity: str
    target: str
    kind: Literal["hard", "soft"]
    place: tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What an entity waits for, by name.

    `dangling`: optional references between entities that form a cycle; nobody waits for those.
    `level`: 0 with no hard dependency, else one more than the highest among them.
    """

    hard: tuple[str, ...]
    soft: tuple[str, ...]
    dangling: tuple[str, ...]
    level: int


Edges = Mapping[str, tuple[Edge, ...]]


def adapter_edges(adapter: Adapter) -> Edges:
    """All that each entity's file says about others, hard ones first; references to itself are left out."""
    stated = {
        name: sorted(_stated(adapter.entities[name]), key=lambda edge: edge.kind) for name in sorted(adapter.entities)
    }
    return {name: tuple(edge for edge in some if edge.target != name) for name, some in stated.items()}


def _stated(entity: Entity) -> Iterator[Edge]:
    name = entity.name
    if entity.under:
        yield Edge(name, entity.under.entity, "hard", ("under", "entity"))
    for column, reference in entity.references.items():
        yield Edge(name, reference.entity, "hard" if reference.required else "soft", ("references", column, "entity"))
    yield from (Edge(name, target, "hard", ("after", "hard", n)) for n, target in enumerate(entity.after.hard))
    yield from (Edge(name, target, "soft", ("after", "soft", n)) for n, target in enumerate(entity.after.soft))


def unknown_target(found: Edges) -> Edge | None:
    """The first edge, in sorted order, that leads to an entity which does not exist."""
    return next((edge for some in found.values() for edge in some if edge.target not in found), None)


def hard_loop(found: Edges) -> tuple[Edge, ...]:
    """The edges of one cycle of hard dependencies, from its first entity by name on; empty if there is none."""
    try:
        TopologicalSorter(_hard_targets(found)).prepare()
    except CycleError as error:
        cycle: list[str] = error.args[1][:0:-1]  # from the dependency to its dependants, the first one twice
    else:
        return ()
    start = cycle.index(min(cycle))
    names = [*cycle[start:], *cycle[:start]]
    return tuple(
        next(edge for edge in found[name] if edge.kind == "hard" and edge.target == target)
        for name, target in zip(names, [*names[1:], names[0]], strict=True)
    )


def loop_text(loop: Iterable[Edge]) -> str:
    """`people.a -> people.b -> people.a`: each needs the one behind it."""
    names = [edge.entity for edge in loop]
    return " -> ".join([*names, names[0]])


def plan(adapter: Adapter) -> Mapping[str, Dependencies]:
    """The dependencies of every entity, sorted by name. The adapter is a checked one: hard ones form no cycle."""
    found = adapter_edges(adapter)
    levels = _levels(_hard_targets(found))
    reach = {name: _reached(found, name) for name in found}
    return {name: _dependencies(some, levels[name], reach) for name, some in found.items()}


def children(adapter: Adapter, name: str) -> tuple[str, ...]:
    """The entities that are read under this one, sorted."""
    return tuple(sorted(one.name for one in adapter.entities.values() if one.under and one.under.entity == name))


def _dependencies(some: Iterable[Edge], level: int, reach: Mapping[str, frozenset[str]]) -> Dependencies:
    hard = {edge.target for edge in some if edge.kind == "hard"}
    soft = {edge.target for edge in some if edge.kind == "soft"} - hard
    dangling = {edge.target for edge in some if edge.target in soft and edge.entity in reach[edge.target]}
    return Dependencies(tuple(sorted(hard)), tuple(sorted(soft - dangling)), tuple(sorted(dangling)), level)


def _hard_targets(found: Edges) -> dict[str, list[str]]:
    return {name: sorted({edge.target for edge in some if edge.kind == "hard"}) for name, some in found.items()}


def _levels(hard: Mapping[str, Iterable[str]]) -> dict[str, int]:
    levels: dict[str, int] = {}
    for name in TopologicalSorter(hard).static_order():
        levels[name] = max((levels[target] + 1 for target in hard[name]), default=0)
    return levels


def _reached(found: Edges, start: str) -> frozenset[str]:
    """All that `start` depends on, over any number of hard and soft edges."""
    reached: set[str] = set()
    waiting = [start]
    while waiting:
        targets = {edge.target for edge in found[waiting.pop()]} - reached
        reached |= targets
        waiting += sorted(targets)
    return frozenset(reached)
