"""Moving sources: inserts, deletes and edits that happen by themselves while an organisation's records are read.

When each happens is given by the rates, which record by the seed. They are done when the organisation is next looked
at, with the time at which they happened: a reader sees no difference, and nothing runs beside the requests.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from heapq import merge
from random import Random
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from service.clock import Clock
from service.dev.simulator.life import Life
from service.dev.simulator.pages import PageCache
from service.dev.simulator.query import Query, select
from service.dev.simulator.rates import LifeSpec, Rate, times
from service.dev.simulator.schema import Entity
from service.dev.simulator.store import Organisation, own_children
from service.dev.simulator.writes import Writes
from topics.errors import Rejected

SECONDS_MAX = 7_200.0

MoveKind = Literal["insert", "delete", "edit"]


class MoveSpec(BaseModel):
    """Inserts stand at the end (ids ascend); deletes take any record, and what points at it then points at nothing;
    edits move updated_at of any record. It ends after `seconds`, or when it is stopped."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    org: str
    entity: str
    inserts_per_second: Rate = 0.0
    deletes_per_second: Rate = 0.0
    edits_per_second: Rate = 0.0
    seconds: Annotated[float, Field(gt=0, le=SECONDS_MAX)] = 600.0
    seed: int = 1


class Moves:
    """The moving entities, at most one movement of each entity of an organisation; or all of them, by its life."""

    def __init__(self, clock: Clock, cache: PageCache) -> None:
        self._clock = clock
        self._cache = cache
        self._movements: dict[str, dict[str, _Movement]] = {}
        self._lives: dict[str, Life] = {}

    def start(self, spec: MoveSpec, org: Organisation, entity: Entity) -> None:
        """Rejected for an entity that moves already, or that has records above or below it."""
        self._check_lifeless(org.name)
        movements = self._movements.setdefault(org.name, {})
        if spec.entity in movements and not movements[spec.entity].has_ended:
            raise Rejected(f"{spec.entity} of {org.name} moves already; stop that first")
        if entity.under or own_children(entity.name):
            raise Rejected(f"{spec.entity} stands above or below other records; only entities that do not can move")
        movements[spec.entity] = _Movement(spec, org, entity, self._clock.monotonic(), self._clock.now())

    def begin(self, spec: LifeSpec, org: Organisation) -> None:
        """Let the organisation live. Rejected while any of its entities moves."""
        self._check_lifeless(org.name)
        if any(not movement.has_ended for movement in self._movements.get(org.name, {}).values()):
            raise Rejected(f"entities of {org.name} move already; stop that first")
        self._lives[org.name] = Life(spec, org, self._clock.monotonic(), self._clock.now())

    def end(self) -> dict[str, dict[str, Counter[str]]]:
        """Stop all lives; late changes show now. The number of changes of each kind, by organisation and entity."""
        for org, life in self._lives.items():
            self.catch_up(org)
            life.finish(self._clock.monotonic())
            self._cache.forget(org)
        done = {org: life.done for org, life in self._lives.items()}
        self._lives.clear()
        return done

    def stop(self) -> dict[str, dict[str, Counter[MoveKind]]]:
        """Stop all. The number of moves of each kind, by organisation and entity."""
        for org in self._movements:
            self.catch_up(org)
        done = {org: {name: one.done for name, one in moving.items()} for org, moving in self._movements.items()}
        self._movements.clear()
        return done

    def catch_up(self, org: str) -> None:
        """Do what has happened in the organisation until now."""
        moving: list[_Movement | Life] = list(self._movements.get(org, {}).values())
        if org in self._lives:
            moving.append(self._lives[org])
        if moving:
            now = self._clock.monotonic()
            if any([one.advance(now) for one in moving]):
                self._cache.forget(org)

    def _check_lifeless(self, org: str) -> None:
        if org in self._lives and not self._lives[org].has_ended:
            raise Rejected(f"{org} lives already; stop that first")


class _Movement:
    """One entity of one organisation, moving since `started` (monotonic seconds) or `started_at`."""

    def __init__(self, spec: MoveSpec, org: Organisation, entity: Entity, started: float, started_at: datetime) -> None:
        self.done: Counter[MoveKind] = Counter()
        self._spec = spec
        self._org = org
        self._entity = entity
        self._started = started
        self._started_at = started_at
        self._random = Random(f"{spec.seed}/{spec.org}/{spec.entity}/moves")
        self._due: Iterator[tuple[float, MoveKind]] = merge(
            times("delete", spec.deletes_per_second),
            times("edit", spec.edits_per_second),
            times("insert", spec.inserts_per_second),
        )
        self._next = next(self._due, None)

    @property
    def has_ended(self) -> bool:
        return self._next is None or self._next[0] > self._spec.seconds or self._org.lives.is_full

    def advance(self, now: float) -> bool:
        """Do what was due until `now`. Whether there was anything."""
        before = self.done.total()
        while self._next is not None and not self.has_ended and self._next[0] <= now - self._started:
            seconds, kind = self._next
            self._move(kind, Writes(self._org, self._started_at + timedelta(seconds=seconds)))
            self._next = next(self._due)
        return self.done.total() > before

    def _move(self, kind: MoveKind, writes: Writes) -> None:
        self.done[kind] += 1
        if kind == "insert":
            writes.insert(self._entity, "", {}, {})
            return
        records = select(self._org, self._entity, _EVERYTHING, "", self._org.records(self._entity.name).values())
        if records:
            id = self._random.choice(records).id
            if kind == "delete":
                writes.remove(self._entity, id)
            else:
                writes.edit(self._entity, id, {}, {}, is_touched=True)


_EVERYTHING = Query.parse("")
