"""Every command and every fact that travels between processes: one frozen model each.

A command's key decides the partition, and so the process that it meets; its identity decides its id. Time is not
part of a command: deciders take it from the record that carried the command (the broker's clock).
"""

from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveInt, StringConstraints

from topics.ids import NAME_PATTERN, connection_key, derive_id, sync_key

Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
Reason = Annotated[str, StringConstraints(max_length=2000)]
ConflictPolicy = Literal["ignore", "queue", "restart", "reject"]
ErrorKind = Literal["retryable", "rejected", "fenced"]
RunOutcome = Literal["done", "failed", "cancelled"]


class Command(BaseModel):
    """What all have in common. Tolerant with machines: fields of a newer version are passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    topic: ClassVar[str]
    version: ClassVar[int] = 1

    @property
    def key(self) -> str:
        raise NotImplementedError

    @property
    def identity(self) -> tuple[str, ...]:
        raise NotImplementedError

    @property
    def id(self) -> str:
        return derive_id(self.topic, *self.identity)


class StartSync(Command):
    """Make the database an exact copy of one organisation's data in one API.

    Written by people and by their programs: org, adapter and type are all it needs, and a field that does not exist
    is an error. The same `request_id` never runs twice; without one, the message itself (partition, offset) is the
    request. `on_conflict` says what becomes of the request while a run of the same key is in progress.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    topic: ClassVar[str] = "start-sync"

    org: Name
    adapter: Name
    type: Name
    request_id: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None
    on_conflict: ConflictPolicy = "ignore"

    @property
    def key(self) -> str:
        return sync_key(self.org, self.adapter, self.type)

    @property
    def identity(self) -> tuple[str, ...]:
        return (self.key, self.request_id or "")


class Control(Command):
    """To a workflow from another one, from a timer or from an operator. Keyed by the workflow it is for."""

    topic: ClassVar[str] = "control"

    workflow: str

    @property
    def key(self) -> str:
        return self.workflow


class StartEntity(Control):
    """A main sync asks an entity to run. Asked again for the same parent run, the entity tells its outcome again."""

    kind: Literal["start-entity"] = "start-entity"
    parent: str
    parent_run: PositiveInt

    @property
    def identity(self) -> tuple[str, ...]:
        return (self.kind, self.workflow, self.parent, str(self.parent_run))


class ChildDone(Control):
    """An entity's run has ended; to the main sync that asked for it."""

    kind: Literal["child-done"] = "child-done"
    parent_run: PositiveInt
    entity: Name
    child_run_id: str
    outcome: RunOutcome
    reason: Reason = ""
    pages: NonNegativeInt = 0
    records: NonNegativeInt = 0
    rejected: NonNegativeInt = 0

    @property
    def identity(self) -> tuple[str, ...]:
        return (self.kind, self.workflow, str(self.parent_run), self.entity)


class CancelRun(Control):
    """End a run where it is; what is committed stays, and nothing more is written under it."""

    kind: Literal["cancel-run"] = "cancel-run"
    run: PositiveInt
    reason: Reason

    @property
    def identity(self) -> tuple[str, ...]:
        return (self.kind, self.workflow, str(self.run))


class TimerDue(Control):
    """A deadline of the workflow has passed. `due` (Unix ms) tells an old timer from the one that counts."""

    kind: Literal["timer-due"] = "timer-due"
    due: PositiveInt

    @property
    def identity(self) -> tuple[str, ...]:
        return (self.kind, self.workflow, str(self.due))


class FetchPages(Command):
    """A lease: read up to `units` units of an entity from `first` on, commit them, and tell how far that got.

    A unit is a page of the API or, for an entity read under its parents, one parent with all its pages. `cursor` is
    where a chain goes on (an API's cursor, or the last parent's key); offset paging needs none. Keyed by connection:
    whatever shares a rate limit meets in one process.
    """

    topic: ClassVar[str] = "fetch-page"

    workflow: str
    run: PositiveInt
    org: Name
    adapter: Name
    entity: Name
    type: Name
    lease: PositiveInt
    first: PositiveInt
    units: PositiveInt
    cursor: str | None = None
    attempt: PositiveInt = 1

    @property
    def key(self) -> str:
        return connection_key(self.org, self.adapter)

    @property
    def identity(self) -> tuple[str, ...]:
        return (self.workflow, str(self.run), str(self.lease), str(self.attempt))


class PageDone(Command):
    """How far a lease got: `units` units from its first one on are committed. The lease is over, whole or in part.

    `end` says that the source has nothing after them. `total_units` is what the source claims to have in all, a hint
    for fan-out and progress. With an error, what was committed before it counts all the same.
    """

    topic: ClassVar[str] = "page-done"

    workflow: str
    run: PositiveInt
    lease: PositiveInt
    attempt: PositiveInt = 1
    units: NonNegativeInt
    pages: NonNegativeInt
    records: NonNegativeInt
    rejected: NonNegativeInt = 0
    end: bool = False
    next_cursor: str | None = None
    total_units: NonNegativeInt | None = None
    elapsed_ms: NonNegativeInt = 0
    error: ErrorKind | None = None
    reason: Reason = ""
    after_seconds: float | None = None

    @property
    def key(self) -> str:
        return self.workflow

    @property
    def identity(self) -> tuple[str, ...]:
        return (self.workflow, str(self.run), str(self.lease), str(self.attempt))


class FinishRun(Command):
    """Close a run in the database, so that nothing more can be written under it, and add up what it wrote."""

    topic: ClassVar[str] = "run-action"

    action: Literal["finish-run"] = "finish-run"
    workflow: str
    run: PositiveInt
    org: Name
    adapter: Name
    outcome: RunOutcome

    @property
    def key(self) -> str:
        return connection_key(self.org, self.adapter)

    @property
    def identity(self) -> tuple[str, ...]:
        return (self.action, self.workflow, str(self.run), self.outcome)


class ActionComplete(Command):
    """An action has had its effect; the sums are the database's own."""

    topic: ClassVar[str] = "action-complete"

    workflow: str
    run: PositiveInt
    action: Literal["finish-run"]
    outcome: RunOutcome
    pages: NonNegativeInt
    records: NonNegativeInt
    rejected: NonNegativeInt

    @property
    def key(self) -> str:
        return self.workflow

    @property
    def identity(self) -> tuple[str, ...]:
        return (self.action, self.workflow, str(self.run), self.outcome)


ControlCommand = StartEntity | ChildDone | CancelRun | TimerDue
AnyCommand = StartSync | ControlCommand | PageDone | ActionComplete | FetchPages | FinishRun
