"""The API: too many requests, errors, hangs, half bodies, slow answers, pages that move while they are read."""

import asyncio
from random import Random
from typing import Any, ClassVar

from tests.chaos.faults.fault import Fault, variant
from tests.chaos.system import LARGE_ORG, LARGE_RECORDS, System

WRITES = (10, 40)
PERSON = "people.person"
MOVES_PER_SECOND = (5.0, 20.0)
MOVES_SECONDS_MAX = 15.0


class ApiFault(Fault):
    """The simulator misbehaves, towards one organisation or all."""

    order: ClassVar[dict[str, Any]]
    touches = frozenset({"api"})
    seconds = (4.0, 12.0)

    async def inject(self, system: System) -> None:
        org = self.random.choice((None, self.random.choice(system.orgs)))
        self.what = org or "all organisations"
        await system.call_simulator("faults", {**self.order, **({"org": org} if org else {})})

    async def heal(self, system: System) -> None:
        await system.call_simulator("faults/clear", {})


API: tuple[type[Fault], ...] = (
    variant(ApiFault, "429 storm", order={"kind": "rate_limit", "retry_after": 2}),
    variant(ApiFault, "5xx storm", order={"kind": "error", "status": 502, "probability": 0.7}),
    variant(ApiFault, "HTML instead of JSON", order={"kind": "html", "status": 503, "probability": 0.5}),
    variant(ApiFault, "API hangs", order={"kind": "hang", "probability": 0.3}),
    variant(ApiFault, "half bodies", order={"kind": "half_body", "probability": 0.4}),
    variant(ApiFault, "slow API", order={"kind": "slow", "delay_ms": 1_500, "probability": 0.5}),
)


class MovingPages(Fault):
    """People write while pages are read: records come, change and are merged, so that pages move."""

    name, touches = "moving pages", frozenset({"source"})
    seconds = (0.0, 1.0)

    def __init__(self, random: Random) -> None:
        super().__init__(random)
        self.count = random.randint(*WRITES)
        self.what = f"{self.count} writes"

    async def inject(self, system: System) -> None:
        known: dict[str, list[str]] = {}
        for number in range(self.count):
            org = self.random.choice(system.orgs)
            mine = known.setdefault(org, [])
            if mine and self.random.random() < 0.5:
                await self._edit(system, org, self.random.choice(mine), number)
            else:
                made = await system.call_simulator("insert", {"org": org, "entity": PERSON})
                mine.append(made["id"])
            await asyncio.sleep(self.random.uniform(0.0, 0.2))

    async def _edit(self, system: System, org: str, id: str, number: int) -> None:
        change = {"org": org, "entity": PERSON, "id": id, "attributes": {"last_name": f"Moved {number}"}}
        await system.call_simulator("edit", change)


class MovingCollections(Fault):
    """Two collections of the largest organisation and one of another move by themselves: records come at the end, and
    any go or change, at each moment of a read."""

    name, touches = "moving collections", frozenset({"source"})
    seconds = (5.0, MOVES_SECONDS_MAX)

    async def inject(self, system: System) -> None:
        entities = self.random.sample(list(LARGE_RECORDS), 3)
        other = self.random.choice([org for org in system.orgs if org != LARGE_ORG])
        for org, entity in zip((LARGE_ORG, LARGE_ORG, other), entities, strict=True):
            self.what += f"{org} {entity}, "
            await system.call_simulator("move", self._order(org, entity))

    async def heal(self, system: System) -> None:
        """All stop: no other fault lets anything move at the same time."""
        stopped = (await system.call_simulator("move/stop", {}))["orgs"]
        moves = [done for entities in stopped.values() for done in entities.values()]
        kinds = ("insert", "delete", "edit")
        self.what += ", ".join(f"{sum(done.get(kind, 0) for done in moves)} {kind}s" for kind in kinds)

    def _order(self, org: str, entity: str) -> dict[str, Any]:
        """Persons never become fewer: the others need some to point at."""
        deletes, inserts, edits = (self.random.uniform(*MOVES_PER_SECOND) for _ in range(3))
        if entity == PERSON:
            deletes, inserts = min(deletes, inserts), max(deletes, inserts)
        rates = {"deletes_per_second": deletes, "inserts_per_second": inserts, "edits_per_second": edits}
        spec = {"org": org, "entity": entity, "seconds": MOVES_SECONDS_MAX, "seed": self.random.randrange(1_000_000)}
        return {**spec, **rates}
