"""Real parts, broken by a fixed seed: nothing is lost, repeated or stuck; and without a protection it shows."""

from pathlib import Path

import pytest

from tests.chaos.controls import CONTROLS
from tests.chaos.experiment import Ending, Plan, run_experiment
from tests.chaos.report import Report

pytestmark = [pytest.mark.kafka, pytest.mark.postgres, pytest.mark.timeout(420)]

SEED = 7
MINUTES = 1.6
# The frozen worker and the broker that is killed alone have tests of their own.
IMPORTANT = (
    "kill everything",
    "freeze fetcher",
    "kill PostgreSQL",
    "unknown outcome at COMMIT",
    "answers lost: worker and kafka",
    "RocksDB rolled back",
    "poison messages",
    "repeated and reordered messages",
    "runs restarted",
    "crash after store",
    "crash after db commit",
)
# The faults of each control, and how long the runs may take to end: with what is lost, some never do.
CONTROL_FAULTS = {
    "without fence": ("runs restarted",),
    "without flush": ("kill fetcher",),
    "without put on replay": ("crash after store",),
}
CONTROL_MINUTES = 0.4
CONTROL_QUIET_SECONDS = 15.0


async def test_real_parts_that_are_broken_all_the_time_end_in_an_exact_copy(tmp_path: Path) -> None:
    ending = await ended(Plan(SEED, MINUTES, faults=IMPORTANT), tmp_path)
    assert ending.problems == [], ending.checker


@pytest.mark.long  # `make controls`
@pytest.mark.parametrize("control", CONTROLS)
async def test_a_protection_that_is_taken_out_is_missed(control: str, tmp_path: Path) -> None:
    modules, faults = CONTROLS[control], CONTROL_FAULTS[control]
    plan = Plan(SEED, CONTROL_MINUTES, faults=faults, modules=modules, quiet_seconds=CONTROL_QUIET_SECONDS)
    ending = await ended(plan, tmp_path)
    assert "the checker is not content" in ending.problems


async def ended(plan: Plan, directory: Path) -> Ending:
    home = directory / "home"
    home.mkdir()
    return await run_experiment(plan, home, Report())
