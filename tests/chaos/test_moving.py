"""Faults that move the source: the simulator lets these collections move, and stops when the fault is healed."""

from random import Random
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.chaos.catalogue import BY_NAME
from tests.chaos.faults.api import MOVES_SECONDS_MAX, PERSON, MovingCollections
from tests.chaos.system import LARGE_ORG, ORGS, System
from tests.unit.service.dev.simulator.client import Api


class Simulated(Api):
    """The simulator of a system."""

    def __init__(self) -> None:
        super().__init__(orgs=ORGS, people=60)
        self.system = cast("System", SimpleNamespace(orgs=ORGS, call_simulator=self.call))

    async def call(self, path: str, body: dict[str, Any]) -> Any:
        answer = await self.send("POST", f"/_sim/{path}", json=body)
        return answer.raise_for_status().json()

    async def living(self, org: str, entity: str) -> int:
        answer = await self.get(f"/_sim/lives?org={org}&entity={entity}")
        return sum(died is None for _, died in answer.json()["records"].values())


@pytest.mark.parametrize("seed", range(12))
async def test_collections_move_until_they_are_healed_and_persons_never_become_fewer(seed: int) -> None:
    api, fault = Simulated(), MovingCollections(Random(seed))
    before = {org: await api.living(org, PERSON) for org in ORGS}
    await fault.inject(api.system)
    api.clock.advance(MOVES_SECONDS_MAX)
    await fault.heal(api.system)
    after = {org: await api.living(org, PERSON) for org in ORGS}
    inserts, deletes, edits = (int(part.split()[0]) for part in fault.what.split(", ")[-3:])
    assert min(inserts, deletes, edits) > MOVES_SECONDS_MAX
    assert fault.what.count(LARGE_ORG) == 2
    assert all(after[org] >= before[org] for org in ORGS)
    api.clock.advance(MOVES_SECONDS_MAX)
    assert {org: await api.living(org, PERSON) for org in ORGS} == after


def test_no_two_faults_move_a_source_at_a_time() -> None:
    assert BY_NAME["moving collections"].touches & BY_NAME["moving pages"].touches
