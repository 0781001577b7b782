"""Histories by seed keep every promise; with one protection off, some history breaks one."""

import pytest

from tests.simulation.__main__ import broken
from tests.simulation.controls import CONTROLS, Control

HISTORIES = 150
SEEDS_TRIED_MAX = 400


def test_a_fixed_set_of_histories_keeps_every_promise() -> None:
    assert {seed: found for seed in range(1, HISTORIES + 1) if (found := broken(seed)[0])} == {}


def test_a_seed_is_one_history() -> None:
    first, second = broken(7)[1], broken(7)[1]
    assert len(first) > 0
    assert first == second


@pytest.mark.parametrize("control", CONTROLS.values(), ids=CONTROLS)
def test_an_engine_without_one_protection_is_caught(control: Control) -> None:
    with control.patched():
        assert any(_is_broken(seed, control) for seed in range(1, SEEDS_TRIED_MAX))


def _is_broken(seed: int, control: Control) -> bool:
    """An invariant of our own that fails is a catch, too."""
    try:
        return bool(broken(seed, control.protections)[0])
    except Exception:
        return True
