"""State of a main sync: which entities wait, run, or have ended, and why. Total: no transition raises."""

from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from manifests.graph import Dependencies
from topics.command import NO_COUNTS, Counts
from topics.ids import run_id
from topics.kinds import entity, sync
from topics.kinds.sync import ChildDone

ChildStatus = Literal["waiting", "running", "done", "failed", "cancelled", "blocked"]
SyncStatus = Literal["running", "done", "failed", "cancelled"]

CHILD_TRANSITIONS: dict[ChildStatus, tuple[ChildStatus, ...]] = {
    "waiting": ("running", "blocked", "cancelled"),
    "running": ("done", "failed", "cancelled"),
    "done": (),
    "failed": (),
    "cancelled": (),
    "blocked": (),
}
SYNC_TRANSITIONS: dict[SyncStatus, tuple[SyncStatus, ...]] = {
    "running": ("done", "failed", "cancelled"),
    "done": (),
    "failed": (),
    "cancelled": (),
}


class Child(msgspec.Struct, frozen=True, omit_defaults=True):
    """One entity of the run. `hard` must be done before it starts, `soft` must only have ended."""

    status: ChildStatus = "waiting"
    hard: tuple[str, ...] = ()
    soft: tuple[str, ...] = ()
    reason: str = ""
    started_at: int = 0
    ended_at: int = 0
    run_id: str = ""
    pages: int = 0
    records: int = 0
    rejected: int = 0

    @property
    def has_ended(self) -> bool:
        return not CHILD_TRANSITIONS[self.status]

    @property
    def counts(self) -> Counts:
        return Counts(self.pages, self.records, self.rejected)


class SyncState(msgspec.Struct, frozen=True, omit_defaults=True, tag="sync", tag_field="kind"):
    """A run of a main sync. Times are Unix ms on the broker's clock; `queue` holds requests for later runs.

    `verify`: the run, and those in the queue, store no row.
    """

    org: str
    adapter: str
    type: str
    run: int
    request: str
    started_at: int
    status: SyncStatus = "running"
    reason: str = ""
    ended_at: int = 0
    due: int = 0
    children: dict[str, Child] = {}
    queue: tuple[str, ...] = ()
    verify: bool = False

    @property
    def key(self) -> str:
        return sync.KEY.key(self.org, self.adapter, self.type)

    @property
    def run_id(self) -> str:
        return run_id(self.key, self.run)

    @property
    def trace(self) -> str:
        """The run whose trace this one belongs to: its own."""
        return self.run_id

    @property
    def has_ended(self) -> bool:
        return not SYNC_TRANSITIONS[self.status]

    @property
    def counts(self) -> Counts:
        return sum((child.counts for child in self.children.values()), NO_COUNTS)

    def child_key(self, name: str) -> str:
        return entity.KEY.key(self.org, self.adapter, name, self.type)

    def with_status(self, entities: Iterable[str], status: ChildStatus, at: int, reason: str = "") -> "SyncState":
        """The entities in their new status; one that may not go there stays as it is."""
        children = dict(self.children)
        for name in entities:
            child = children[name]
            if status not in CHILD_TRANSITIONS[child.status]:
                continue
            started = at if status == "running" else child.started_at
            ended = at if not CHILD_TRANSITIONS[status] else 0
            children[name] = msgspec.structs.replace(
                child, status=status, reason=reason, started_at=started, ended_at=ended
            )
        return msgspec.structs.replace(self, children=children)

    def with_outcome(self, done: ChildDone, at: int) -> "SyncState":
        """The entity has reported how it ended; a repeated report, or one never asked for, changes nothing."""
        child = self.children.get(done.entity)
        if child is None or child.has_ended:
            return self
        ended = msgspec.structs.replace(
            child,
            status=done.outcome,
            reason=done.reason,
            ended_at=at,
            run_id=done.child_run_id,
            pages=done.pages,
            records=done.records,
            rejected=done.rejected,
        )
        return msgspec.structs.replace(self, children={**self.children, done.entity: ended})

    def with_blocked(self, at: int) -> "SyncState":
        """Every waiting entity that can never start, because one it needs did not end well, is blocked."""
        state = self
        while blocked := state._newly_blocked():
            for name, cause in blocked.items():
                reason = f"{cause} {state.children[cause].status}"
                state = state.with_status([name], "blocked", at, reason)
        return state

    def _newly_blocked(self) -> dict[str, str]:
        bad = {name for name, child in self.children.items() if child.status in ("failed", "cancelled", "blocked")}
        waiting = {name: child for name, child in self.children.items() if child.status == "waiting"}
        return {name: cause for name, child in waiting.items() for cause in child.hard if cause in bad}

    def ready(self) -> tuple[str, ...]:
        """Waiting entities whose hard dependencies are done and whose soft ones have ended."""
        return tuple(name for name, child in self.children.items() if child.status == "waiting" and self._may(child))

    def _may(self, child: Child) -> bool:
        return all(self.children[name].status == "done" for name in child.hard) and all(
            self.children[name].has_ended for name in child.soft
        )


def children_of(plan: Mapping[str, Dependencies]) -> dict[str, Child]:
    """The entities of a run, all waiting, with their dependencies as they are now: a run keeps its plan."""
    return {name: Child(hard=needs.hard, soft=needs.soft) for name, needs in plan.items()}
