"""The counter as a kind of workflow, an installation that has it beside the kinds that Sluice comes with."""

from agents.core.registry import Kind, Registry
from agents.kinds import SHIPPED
from tests.counter.commands import COMMANDS, KEY, TOPICS
from tests.counter.decider import CounterDecider
from tests.counter.state import TRANSITIONS, CounterState

COUNTER = Kind(
    key=KEY, topics=TOPICS, commands=COMMANDS, state=CounterState, transitions=TRANSITIONS,
    decider=lambda adapters: CounterDecider(),
    details=lambda state: {"count": len(state.ticks), "target": state.target},
)  # fmt: skip
WITH_COUNTER = Registry((*SHIPPED.kinds.values(), COUNTER))
