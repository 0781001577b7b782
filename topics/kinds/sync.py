"""Commands of a main sync: an organisation's data in one API, entity by entity."""

from typing import ClassVar, Literal, Self

from pydantic import ConfigDict

from topics.catalog import TopicSpec
from topics.command import Command, Control, Count, Name, Number, Reason, RequestId, RunOutcome, Text
from topics.ids import KeyPattern

KEY = KeyPattern("main-sync", ("org", "adapter", "type"))
TOPICS = (TopicSpec("start-sync", "control", "workflow", "People and programs request a sync."),)

FULL, DELTA = "full", "delta"  # everything, and what changed since the watermark
RECONCILIATION = "reconciliation"  # everything, compared with the rows: what is gone is deleted

ConflictPolicy = Literal["ignore", "queue", "restart", "reject"]


class StartSync(Command):
    """Make the database an exact copy of one organisation's data in one API.

    Written by people and by their programs: org, adapter and type are all it needs, and a field that does not exist
    is an error. The same `request_id` does not run twice within a week; without one, the message itself
    (topic/partition/offset/time) is the request. `on_conflict` says what happens to the request while a run of the same
    key is in progress. `verify`, of a reconciliation: nothing is stored or deleted, only compared.
    """

    model_config = ConfigDict(extra="forbid")
    topic: ClassVar[str] = "start-sync"
    identified_by: ClassVar[tuple[str, ...]] = ("key", "request_id")
    is_request: ClassVar[bool] = True

    org: Name
    adapter: Name
    type: Name
    request_id: RequestId | None = None
    on_conflict: ConflictPolicy = "ignore"
    verify: bool = False

    @property
    def key(self) -> str:
        return KEY.key(self.org, self.adapter, self.type)

    def named_after(self, message: str) -> Self:
        return self if self.request_id is not None else self.model_copy(update={"request_id": message})


class ChildDone(Control):
    """An entity's run has ended. Sent to the main sync that started it."""

    identified_by: ClassVar[tuple[str, ...]] = ("kind", "workflow", "parent_run", "entity")

    kind: Literal["child-done"] = "child-done"
    parent_run: Number
    entity: Name
    child_run_id: Text
    outcome: RunOutcome
    reason: Reason = ""
    pages: Count = 0
    records: Count = 0
    rejected: Count = 0


class StaleRun(Control):
    """An entity knows a run of the main sync with a higher number than the one that asks now.

    That run's record was lost in a crash before it was in the journal: the main sync continues above its number.
    """

    identified_by: ClassVar[tuple[str, ...]] = ("kind", "workflow", "parent_run", "newest")

    kind: Literal["outnumbered"] = "outnumbered"
    parent_run: Number
    newest: Number


COMMANDS = (StartSync, ChildDone, StaleRun)
