"""State of a counter."""

from typing import Literal

import msgspec

from tests.counter.commands import KEY
from topics.ids import run_id

CounterStatus = Literal["counting", "waiting", "recording", "done", "failed"]

TRANSITIONS: dict[CounterStatus, tuple[CounterStatus, ...]] = {
    "counting": ("waiting", "recording"),
    "waiting": ("recording",),
    "recording": ("done", "failed"),
    "done": (),
    "failed": (),
}


class CounterState(msgspec.Struct, frozen=True, omit_defaults=True, tag="counter", tag_field="kind"):
    """`ticks` are the broker's times of the steps. `parent` is empty for a counter that a request started."""

    org: str
    name: str
    run: int
    started_at: int
    target: int
    every_ms: int
    child: str = ""
    parent: str = ""
    parent_run: int = 0
    status: CounterStatus = "counting"
    reason: str = ""
    ticks: tuple[int, ...] = ()
    due: int = 0
    ended_at: int = 0

    @property
    def key(self) -> str:
        return KEY.key(self.org, self.name)

    @property
    def run_id(self) -> str:
        return run_id(self.key, self.run)

    @property
    def trace(self) -> str:
        return run_id(self.parent, self.parent_run) if self.parent else self.run_id

    @property
    def has_ended(self) -> bool:
        return not TRANSITIONS[self.status]
