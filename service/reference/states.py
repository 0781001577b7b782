"""The page of states: a diagram of each workflow's states, and every named limit that its decider goes by."""

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType
from typing import TypeVar

import agents.deciders.entity
import agents.deciders.sync
import tables.kinds.entity
import tables.row
from service.reference.markdown import code, page, prose, table
from tables.kinds.entity import TRANSITIONS, EntityState
from tables.kinds.sync import CHILD_TRANSITIONS, SYNC_TRANSITIONS, Child, SyncState

INTRODUCTION = """A workflow is in one state at a time and leaves it by these arrows only. An ended run's record stays
for `RETENTION_MS`, then it leaves the table."""

State = TypeVar("State", bound=str)

LIMITS = {
    "A main sync": agents.deciders.sync,
    "An entity": agents.deciders.entity,
    "An entity's record": tables.kinds.entity,
    "Every record": tables.row,
}
_LIMIT = re.compile(r"^(?P<name>[A-Z_]+_(?:MAX|MS|SECONDS)) = [\d_.* ]+(?:# (?P<meaning>.+))?$", re.MULTILINE)


def states_page() -> str:
    return page(
        "States",
        INTRODUCTION,
        *_states("A main sync", SyncState, SYNC_TRANSITIONS),
        *_states("An entity as its main sync sees it", Child, CHILD_TRANSITIONS),
        *_states("An entity", EntityState, TRANSITIONS),
        "## Limits",
        *_limits(),
    )


def _states(title: str, shape: type, transitions: Mapping[State, Sequence[State]]) -> tuple[str, str, str]:
    return f"## {title}", prose(shape), _diagram(transitions)


def _diagram(transitions: Mapping[State, Sequence[State]]) -> str:
    """A mermaid diagram. The first state is where it begins; one without a way on is an end."""
    lines = [f"    [*] --> {next(iter(transitions))}"]
    for state, following in transitions.items():
        lines += [f"    {state} --> {after}" for after in following] or [f"    {state} --> [*]"]
    return "\n".join(["```mermaid", "stateDiagram-v2", *lines, "```"])


def _limits() -> Iterator[str]:
    for title, module in LIMITS.items():
        yield f"### {title} (`{module.__name__}`)"
        yield table(["limit", "value", "meaning"], _limits_of(module))


def _limits_of(module: ModuleType) -> Iterator[list[str]]:
    """The module's named numbers, each with the comment beside it."""
    for found in _LIMIT.finditer(inspect.getsource(module)):
        name = found["name"]
        yield [code(name), f"{getattr(module, name):,}", found["meaning"] or ""]
