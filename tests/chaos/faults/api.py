"""The API: too many requests, errors, hangs, half bodies, slow answers, pages that move while they are read."""

import asyncio
from random import Random
from typing import Any, ClassVar

from tests.chaos.faults.fault import Fault, variant
from tests.chaos.system import ADDED, System

WRITES = (10, 40)
PERSON = "people.person"
MOVES_PER_SECOND = (20.0, 50.0)
EDITS_PER_SECOND = 3.0
MOVES_SECONDS_MAX = 15.0
SLOW_MS = (300, 600)


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
    """Collections of several pages move by themselves: records come at their end, and any go or change. The API is slow
    at times, so that some of it happens between any two pages of a read."""

    name, touches = "moving collections", frozenset({"source", "api"})
    seconds = (8.0, MOVES_SECONDS_MAX)

    async def inject(self, system: System) -> None:
        self.what = f"{len(ADDED)} of them"
        delay_ms = self.random.randint(*SLOW_MS)
        await system.call_simulator("faults", {"kind": "slow", "delay_ms": delay_ms, "probability": 0.5})
        for org, entity in ADDED:
            seed = self.random.randrange(1_000_000)
            order = {"org": org, "entity": entity, "seconds": MOVES_SECONDS_MAX, "seed": seed}
            await system.call_simulator("move", {**order, **self._rates()})

    async def heal(self, system: System) -> None:
        """All movement stops: no other fault brings any about at the same time."""
        stopped = (await system.call_simulator("move/stop", {}))["orgs"]
        await system.call_simulator("faults/clear", {})
        moves = [done for entities in stopped.values() for done in entities.values()]
        for kind in ("insert", "delete", "edit"):
            self.what += f", {sum(done.get(kind, 0) for done in moves)} {kind}s"

    def _rates(self) -> dict[str, float]:
        """At least as many come as go: a collection that became small would have no boundaries between pages."""
        deletes, inserts = sorted(self.random.uniform(*MOVES_PER_SECOND) for _ in range(2))
        return {"deletes_per_second": deletes, "inserts_per_second": inserts, "edits_per_second": EDITS_PER_SECOND}
