"""The page of states: a diagram of each workflow's states, and every named limit of its decider."""

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

from agents.deciders import sync
from agents.deciders.entity import decider, failures, window
from service.reference import code, page, prose, table
from tables import requests, row
from tables.kinds import entity
from tables.kinds.sync import CHILD_TRANSITIONS, SYNC_TRANSITIONS, Child, SyncState
from topics.catalog import DAY_MS, WORKFLOW_RETENTION_MS

INTRODUCTION = f"""A workflow is in one state at a time and leaves it by these arrows only: a worker stops before it
writes another transition. An ended run's record is kept for {WORKFLOW_RETENTION_MS // DAY_MS} days, then deleted."""

State = TypeVar("State", bound=str)

LIMITS = {
    "A main sync": sync,
    "An entity's run": decider,
    "An entity's leases": window,
    "An entity's failures": failures,
    "An entity's record": entity,
    "Every record": row,
    "The request log": requests,
}
_LIMIT = re.compile(r"^(?P<name>[A-Z_]+_(?:MAX|MS|SECONDS)) = [\d_.* ]+(?:# (?P<meaning>.+))?$", re.MULTILINE)


def states_page() -> str:
    return page(
        "States",
        INTRODUCTION,
        *_states("A main sync", SyncState, SYNC_TRANSITIONS),
        *_states("An entity as its main sync sees it", Child, CHILD_TRANSITIONS),
        *_states("An entity", entity.EntityState, entity.TRANSITIONS),
        "## Limits",
        *_limits(),
    )


def _states(title: str, shape: type, transitions: Mapping[State, Sequence[State]]) -> tuple[str, str, str]:
    return f"## {title}", prose(shape), _diagram(transitions)


def _diagram(transitions: Mapping[State, Sequence[State]]) -> str:
    """A mermaid diagram. The first state is the initial one; a state without successors is final."""
    lines = [f"    [*] --> {next(iter(transitions))}"]
    for state, successors in transitions.items():
        lines += [f"    {state} --> {after}" for after in successors] or [f"    {state} --> [*]"]
    return "\n".join(["```mermaid", "stateDiagram-v2", *lines, "```"])


def _limits() -> Iterator[str]:
    """Each module's named numbers, with the comments beside them."""
    for title, module in LIMITS.items():
        yield f"### {title} (`{module.__name__}`)"
        limits = [(found["name"], found["meaning"]) for found in _LIMIT.finditer(inspect.getsource(module))]
        rows = [[code(name), f"{getattr(module, name):,}", meaning or ""] for name, meaning in limits]
        yield table(["limit", "value", "meaning"], rows)
