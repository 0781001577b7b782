"""Commands of an entity sync: one entity of one organisation, read in leases of pages."""

from typing import ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from topics.actions import ActionComplete, RunAction
from topics.catalog import TopicSpec
from topics.command import Command, Control, Count, Counts, Name, Number, Reason, RunOutcome, Text
from topics.errors import Rejected
from topics.ids import KeyPattern, connection_key

KEY = KeyPattern("entity-sync", ("org", "adapter", "entity", "type"))
TOPICS = (
    TopicSpec("page-done", "control", "workflow", "Fetchers report what a lease committed."),
    TopicSpec("fetch-page", "data", "connection", "Deciders lease pages to fetchers."),
)

FetchError = Literal["retryable", "rejected", "fenced"]


class StartEntity(Control):
    """A main sync asks an entity to run. Asked again for the same parent run, the entity reports its outcome again.

    `verify`: no row is to be stored, only compared."""

    identified_by: ClassVar[tuple[str, ...]] = ("kind", "workflow", "parent", "parent_run")

    kind: Literal["start-entity"] = "start-entity"
    parent: Text
    parent_run: Number
    verify: bool = False


class FetchPages(Command):
    """A lease: fetch up to `units` units of an entity from `first` on, commit them, and report how far that got.

    A unit is a page of the API or, for an entity read under its parents, one parent with all its pages. `cursor` is
    where a chain continues (an API's cursor, or the last parent's key); offset paging needs none. Keyed by connection:
    whatever shares a rate limit meets in one process. `closes`: no other lease of the run is out, so the fetcher that
    reaches the end of the source with it closes the run. `closing`: all units before `first` were reported; the fetcher
    reads again what the ledger lacks of them, proves that the run is complete, and closes it. `pages` were reported
    until then, `unproven` says what they could not prove.

    `page_size`: of the API's pages, if it is not the manifest's. `landmark`: the fingerprint of a link that was
    followed a while ago; a chain that comes by it again is a cycle. `verify`: no row is stored, only compared.
    """

    topic: ClassVar[str] = "fetch-page"
    # With the units that it asks for: after a crash the same number may be given to other pages.
    identified_by: ClassVar[tuple[str, ...]] = ("workflow", "run", "lease", "attempt", "first", "units", "cursor")

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
    closing: bool = False
    page_size: Number | None = None
    landmark: Text | None = None
    pages: Count = 0
    unproven: Reason = ""
    verify: bool = False

    @property
    def key(self) -> str:
        return connection_key(self.org, self.adapter)


class PageDone(Command):
    """How far a lease got: `units` units from its first one on are committed. The lease is over, whole or in part.

    `end`: the source has nothing after them. `total_units` is what the source claims to have in all, a hint for
    fan-out and progress. With an error, what was committed before it counts all the same. `closed`: the run is
    complete and closed as done, with these counts, whichever lease this is about. `newest`, when it is fenced: the
    highest run of its workflow that the database knows. `page_size`: of the API's pages, if it is not the manifest's.
    `unproven`: why the run cannot be said to hold every record that existed throughout. `remark`: what a person should
    know of a closed run.
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
    error: FetchError | None = None
    reason: Reason = ""
    after_seconds: float | None = None
    closed: Counts | None = None
    newest: Number | None = None
    page_size: Number | None = None
    unproven: Reason = ""
    remark: Reason = ""

    @property
    def key(self) -> str:
        return self.workflow

    @property
    def identity(self) -> tuple[str, ...]:
        return (self.workflow, str(self.run), str(self.lease), str(self.attempt), str(self.first))

    @property
    def counts(self) -> Counts:
        return Counts(self.pages, self.records, self.rejected)


CLOSE_RUN = "finish-run"  # the action that closes a run in the database: CloseRun in, RunClosed out


class CloseRun(BaseModel):
    """The input of CLOSE_RUN: as what the run is to be closed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    outcome: RunOutcome

    @classmethod
    def of(cls, command: RunAction) -> Self:
        """Rejected if the input is none of CLOSE_RUN."""
        try:
            return cls.model_validate(command.input)
        except ValidationError:
            raise Rejected(f"{command.action} takes an outcome: done, failed or cancelled") from None


class RunClosed(BaseModel):
    """The result of CLOSE_RUN. The outcome is the database's: the first that closed the run decided."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    outcome: RunOutcome
    pages: Count
    records: Count
    rejected: Count

    @classmethod
    def of(cls, complete: ActionComplete) -> Self:
        """Rejected if the result is none of CLOSE_RUN."""
        try:
            return cls.model_validate(complete.result)
        except ValidationError:
            raise Rejected(f"the result of {complete.action} says neither outcome nor counts") from None

    @property
    def counts(self) -> Counts:
        return Counts(self.pages, self.records, self.rejected)


COMMANDS = (StartEntity, FetchPages, PageDone)
