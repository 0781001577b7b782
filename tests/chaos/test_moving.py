"""Faults that move the source: the simulator lets these collections move, and stops when the fault is healed."""

from random import Random
from types import SimpleNamespace
from typing import Any, cast

from tests.chaos.catalogue import BY_NAME
from tests.chaos.faults.api import MOVES_PER_SECOND, MOVES_SECONDS_MAX, MovingCollections
from tests.chaos.system import ADDED, ORGS, PEOPLE, System
from tests.unit.service.dev.simulator.client import Api


class Simulated(Api):
    """The simulator of a system."""

    def __init__(self) -> None:
        super().__init__(orgs=ORGS, people=PEOPLE)
        self.system = cast("System", SimpleNamespace(orgs=ORGS, call_simulator=self.call))

    async def call(self, path: str, body: dict[str, Any]) -> Any:
        answer = await self.send("POST", f"/_sim/{path}", json=body)
        return answer.raise_for_status().json()

    async def sizes(self) -> dict[tuple[str, str], int]:
        """Of the collections that can move."""
        return {(org, entity): await self._size(org, entity) for org, entity in ADDED}

    async def _size(self, org: str, entity: str) -> int:
        answer = await self.get(f"/_sim/lives?org={org}&entity={entity}")
        return sum(died is None for _, died in answer.json()["records"].values())


async def test_collections_move_until_they_are_healed_and_do_not_become_small() -> None:
    api, fault = Simulated(), MovingCollections(Random(1))
    before = await api.sizes()
    await fault.inject(api.system)
    api.clock.advance(MOVES_SECONDS_MAX)
    await fault.heal(api.system)
    after = await api.sizes()
    assert all(after[place] >= size for place, size in before.items())
    inserts, deletes, edits = (int(part.split()[0]) for part in fault.what.split(", ")[1:])
    least = len(ADDED) * MOVES_PER_SECOND[0] * (MOVES_SECONDS_MAX - 1)
    assert inserts > deletes > least
    assert edits
    api.clock.advance(MOVES_SECONDS_MAX)
    assert await api.sizes() == after


def test_no_two_faults_move_a_source_at_a_time() -> None:
    assert BY_NAME["moving collections"].touches & BY_NAME["moving pages"].touches
