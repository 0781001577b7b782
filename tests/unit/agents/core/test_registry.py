from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agents.core.registry import Kind, Registry
from agents.kinds import SHIPPED, SYNC
from tests.engine.clock import T0
from tests.engine.engine import KEY
from tests.unit.agents.core.harness import ProcessorBench, child_done, start
from topics.errors import Broken

ROWS = Path(__file__).resolve().parents[3] / "golden" / "rows"
STATES: list[Any] = [SHIPPED.read_row(file.read_bytes()).state for file in sorted(ROWS.glob("*-1.bin"))]
CHANGES = [
    (SHIPPED.kind(state.key), state, before, after)
    for state in STATES
    for before in SHIPPED.kind(state.key).transitions
    for after in SHIPPED.kind(state.key).transitions
]


def with_status(state: Any, status: str, run: int = 7) -> Any:
    return msgspec.structs.replace(state, status=status, run=run)


def check(kind: Kind[Any], before: Any, after: Any, is_legal: bool) -> None:
    refused = pytest.raises(Broken, match=f"{after.run_id} goes to {after.status}")
    with nullcontext() if is_legal else refused:
        kind.check_transition(before, after)


@pytest.mark.parametrize(("kind", "state", "before", "after"), CHANGES)
def test_a_run_changes_its_status_only_as_its_kind_has_it(kind: Kind[Any], state: Any, before: str, after: str) -> None:
    is_legal = before == after or after in kind.transitions[before]
    check(kind, with_status(state, before), with_status(state, after), is_legal)
    first = next(iter(kind.transitions))  # of a new run, which may have gone one further in the same step
    for older in (None, with_status(state, before)):
        check(kind, older, with_status(state, after, run=8), after in (first, *kind.transitions[first]))


def test_a_decision_with_a_transition_that_its_kind_does_not_have_stops_the_process() -> None:
    bench = ProcessorBench(Registry([replace(SYNC, transitions={**SYNC.transitions, "running": ()})]))
    bench.deliver(start())
    with pytest.raises(Broken, match=f"{KEY}@{T0} goes to done from running: main-sync has no such transition"):
        bench.deliver(child_done())
    assert bench.has_no_effect


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.key)
def test_a_state_is_read_as_the_status_tables_hold_it(state: Any) -> None:
    assert SHIPPED.read_state(msgspec.json.encode(state).decode()) == state
