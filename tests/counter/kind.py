"""The counter as a kind of workflow, an installation that has it beside the kinds that Sluice comes with."""

from agents.core.registry import Kind, Registry, RunStatus
from agents.kinds import SHIPPED
from tests.counter.commands import COMMANDS, KEY, TOPICS
from tests.counter.decider import CounterDecider
from tests.counter.state import TRANSITIONS, CounterState
from topics.ids import run_id


def _status(state: CounterState) -> RunStatus:
    return RunStatus(
        org=state.org, status=state.status, reason=state.reason, started_at=state.started_at, ended_at=state.ended_at,
        parent_run_id=run_id(state.parent, state.parent_run) if state.parent else "",
        details={"count": len(state.ticks), "target": state.target},
    )  # fmt: skip


COUNTER = Kind(
    key=KEY, topics=TOPICS, commands=COMMANDS, state=CounterState, transitions=TRANSITIONS,
    decider=lambda adapters: CounterDecider(), status=_status,
)  # fmt: skip
WITH_COUNTER = Registry((*SHIPPED.kinds.values(), COUNTER))
