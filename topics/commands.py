"""Every command and every fact that travels between processes: one frozen model each.

A command's key decides the partition, and so the process that it meets; its identity decides its id. Time is not
part of a command: deciders take it from the record that carried the command (the broker's clock).
"""

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from topics.ids import NAME_PATTERN, connection_key, derive_id, sync_key

COUNT_MAX = 2**53 - 1  # what every reader of JSON, and every database, takes for the same whole number
REASON_CHARS_MAX = 2000  # of a reason; what is longer is cut


def _readable(reason: str) -> str:
    return reason[:REASON_CHARS_MAX].replace("\0", "\ufffd")


Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
Text = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$")]  # PostgreSQL takes no NUL
Reason = Annotated[str, AfterValidator(_readable)]
Count = Annotated[int, Field(ge=0, le=COUNT_MAX)]
Number = Annotated[int, Field(ge=1, le=COUNT_MAX)]
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
    request_id: Annotated[Text, StringConstraints(min_length=1, max_length=200)] | None = None
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

    workflow: Text

    @property
    def key(self) -> str:
        return self.workflow


class StartEntity(Control):
    """A main sync asks an entity to run. Asked again for the same parent run, the entity tells its outcome again."""

    kind: Literal["start-entity"] = "start-entity"
    parent: Text
    parent_run: Number

    @property
    def identity(self) -> tuple[str, ...]:
        return (self.kind, self.workflow, self.parent, str(self.parent_run))


class ChildDone(Control):
    """An entity's run has ended; to the main sync that asked for it."""

    kind: Literal["child-done"] = "child-done"
    parent_run: Number
    entity: Name
    child_run_id: Text
    outcome: RunOutcome
    reason: Reason = ""
    pages: Count = 0
    records: Count = 0
    rejected: Count = 0

    @property
    def identity(self) -> tuple[str, ...]:
        return (self.kind, self.workflow, str(self.parent_run), self.entity)


class CancelRun(Control):
    """End a run where it is; what is committed stays, and nothing more is written under it."""

    kind: Literal["cancel-run"] = "cancel-run"
    run: Number
    reason: Reason

    @property
    def identity(self) -> tuple[str, ...]:
        return (self.kind, self.workflow, str(self.run))


class RetryNow(Control):
    """An operator asks a workflow, and whatever it waits for, to go on at once instead of at a deadline.

    `request_id` tells one nudge from another: the same one twice is one.
    """

    kind: Literal["nudge"] = "nudge"
    request_id: Annotated[Text, StringConstraints(min_length=1, max_length=200)]

    @property
    def identity(self) -> tuple[str, ...]:
        return (self.kind, self.workflow, self.request_id)


class StaleRun(Control):
    """An entity has met a run of the main sync with a higher number than the one that asks now.

    That run's record was lost in a crash, before it was in the journal: the main sync goes on above its number.
    """

    kind: Literal["outnumbered"] = "outnumbered"
    parent_run: Number
    newest: Number

    @property
    def identity(self) -> tuple[str, ...]:
        return (self.kind, self.workflow, str(self.parent_run), str(self.newest))


class TimerDue(Control):
    """A deadline of the workflow has passed. `due` (Unix ms) tells an old timer from the one that counts."""

    kind: Literal["timer-due"] = "timer-due"
    due: Number

    @property
    def identity(self) -> tuple[str, ...]:
        return (self.kind, self.workflow, str(self.due))


class FetchPages(Command):
    """A lease: read up to `units` units of an entity from `first` on, commit them, and tell how far that got.

    A unit is a page of the API or, for an entity read under its parents, one parent with all its pages. `cursor` is
    where a chain goes on (an API's cursor, or the last parent's key); offset paging needs none. Keyed by connection:
    whatever shares a rate limit meets in one process. `closes`: no other lease of the run is out, so whoever reaches
    the end of the source with it closes the run.
    """

    topic: ClassVar[str] = "fetch-page"

    workflow: Text
    run: Number
    org: Name
    adapter: Name
    entity: Name
    type: Name
    lease: Number
    first: Number
    units: Number
    cursor: Text | None = None
    attempt: Number = 1
    closes: bool = False

    @property
    def key(self) -> str:
        return connection_key(self.org, self.adapter)

    @property
    def identity(self) -> tuple[str, ...]:
        """What it asks for, too: after a crash the same number may be given to other pages."""
        numbers = (self.run, self.lease, self.attempt, self.first, self.units)
        return (self.workflow, *map(str, numbers), self.cursor or "")


class Totals(BaseModel):
    """What a run wrote, added up by the database when it was closed."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    pages: Count
    records: Count
    rejected: Count


class PageDone(Command):
    """How far a lease got: `units` units from its first one on are committed. The lease is over, whole or in part.

    `end` says that the source has nothing after them. `total_units` is what the source claims to have in all, a hint
    for fan-out and progress. With an error, what was committed before it counts all the same. `closed`: the run is
    complete and closed as done, and these are its sums (pages, records, rejected), whichever lease
    this is about. `newest`, when it is fenced: the highest run of its workflow that the database knows.
    """

    topic: ClassVar[str] = "page-done"

    workflow: Text
    run: Number
    lease: Number
    attempt: Number = 1
    first: Number | None = None
    units: Count
    pages: Count
    records: Count
    rejected: Count = 0
    end: bool = False
    next_cursor: Text | None = None
    total_units: Count | None = None
    elapsed_ms: Count = 0
    error: ErrorKind | None = None
    reason: Reason = ""
    after_seconds: float | None = None
    closed: Totals | None = None
    newest: Number | None = None

    @property
    def key(self) -> str:
        return self.workflow

    @property
    def identity(self) -> tuple[str, ...]:
        return (self.workflow, str(self.run), str(self.lease), str(self.attempt), str(self.first))


class FinishRun(Command):
    """Close a run in the database, so that nothing more can be written under it, and add up what it wrote."""

    topic: ClassVar[str] = "run-action"

    action: Literal["finish-run"] = "finish-run"
    workflow: Text
    run: Number
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

    workflow: Text
    run: Number
    action: Literal["finish-run"]
    outcome: RunOutcome
    pages: Count
    records: Count
    rejected: Count

    @property
    def key(self) -> str:
        return self.workflow

    @property
    def identity(self) -> tuple[str, ...]:
        return (self.action, self.workflow, str(self.run), self.outcome)


ControlCommand = StartEntity | ChildDone | CancelRun | RetryNow | StaleRun | TimerDue
AnyCommand = StartSync | ControlCommand | PageDone | ActionComplete | FetchPages | FinishRun
