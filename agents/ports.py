"""Ports: what agents need from outside, as small protocols with their values. `service` implements them."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal, Protocol

import msgspec

from agents.ledger import BEGINNING, Due, Extent, LedgerSums, Proof
from manifests.entity import Adapter, Entity
from topics.command import NO_COUNTS, Counts, RunOutcome
from topics.errors import SluiceError
from topics.ids import run_id

LONG_AGO = datetime.min.replace(tzinfo=UTC)  # before any reading: the moment of a page that nobody has requested
PAGES_PER_COMMIT_MAX = 64  # pages of one entity that share a database transaction


class RunRef(msgspec.Struct, frozen=True):
    """One run of an entity. `number` grows from run to run of its workflow: the fence. `verify`: it stores no row."""

    workflow: str
    number: int
    org: str
    adapter: str
    entity: str
    type: str
    verify: bool = False

    @property
    def id(self) -> str:
        return run_id(self.workflow, self.number)


class LeaseRequest(msgspec.Struct, frozen=True):
    """What a fetcher is about to fetch: `units` pages from page `first`, or all pages of the named parents."""

    run: RunRef
    first: int
    units: int
    parents: tuple[str, ...] = ()


class LedgerLine(msgspec.Struct, frozen=True):
    """A committed page. `parent` is empty where the entity stands at the top level. A repair has a negative number."""

    parent: str
    page: int
    counts: Counts
    is_last: bool
    next_cursor: str | None
    extent: Extent = BEGINNING


class LeaseState(msgspec.Struct, frozen=True):
    """Whether the run may write, and which of the requested pages the ledger holds already.

    `done`: it may not, because it is complete, with what a person should know of it (`remark`). `newest` is the highest
    number of its workflow that is known, where the run is not open. `since`: of a delta, the watermark when it was
    opened; without one it reads everything.
    """

    is_open: bool
    lines: tuple[LedgerLine, ...] = ()
    done: Counts | None = None
    newest: int | None = None
    remark: str = ""
    since: datetime | None = None


class RowWrite(msgspec.Struct, frozen=True):
    """A record as it is stored: typed values in the order of the entity's columns, and the record itself.

    `content_hash` covers all that is stored, not how it was written (see agents.records). `updated_at` is the source's
    own time, None where it has none.
    """

    key: str
    values: tuple[object, ...]
    raw: str
    content_hash: bytes
    updated_at: datetime | None


class RejectedRecord(msgspec.Struct, frozen=True):
    """A record that cannot be stored as a row: set aside with its reason. `raw` is text that any database takes."""

    key: str
    reason: str
    raw: str


class PageBody(msgspec.Struct, frozen=True):
    """The content of a page. `records` counts all that it has, `total` is the source's claim, a hint only.

    `first` and `last` are the positions of its first and last record, None where they do not ascend as the manifest
    says (see Extent). Rows and rejected records are those that were asked for, from the one behind `behind` on.
    `requested_at` is the moment before the request that was answered: what has changed since may not be in it;
    `asked_at` the same by the source's clock, if it has one. `oldest` and `newest` are times of the rows' last changes,
    where the entity can be read by its changes.
    """

    rows: tuple[RowWrite, ...]
    rejected: tuple[RejectedRecord, ...]
    next: str | None
    total: int | None
    records: int
    first: str | None = None
    last: str | None = None
    behind: str | None = None
    requested_at: datetime = LONG_AGO
    asked_at: datetime | None = None
    oldest: datetime | None = None
    newest: datetime | None = None


class PageWrite(msgspec.Struct, frozen=True):
    """All of one page: stored whole or not at all. `fetched_at` is its body's `requested_at`."""

    run: RunRef
    entity: Entity
    parent: str
    page: int
    rows: tuple[RowWrite, ...]
    rejected: tuple[RejectedRecord, ...]
    is_last: bool
    next_cursor: str | None
    fetched_at: datetime
    extent: Extent = BEGINNING

    @property
    def counts(self) -> Counts:
        return Counts(1, len(self.rows), len(self.rejected))


class PageOutcome(msgspec.Struct, frozen=True):
    """committed: now in the database. already: the ledger held it before. fenced: the run is closed, nothing written.

    What follows is the ledger's own line (for "already": that of the commit that won, which may have fetched the page
    at another moment).
    """

    status: Literal["committed", "already", "fenced"]
    counts: Counts = NO_COUNTS
    is_last: bool = False
    next_cursor: str | None = None


class RunEnd(msgspec.Struct, frozen=True):
    """A run that is to be closed, and as what; with the proof of one that read everything."""

    run: RunRef
    outcome: RunOutcome
    proof: Proof | None = None


class ClosedRun(msgspec.Struct, frozen=True):
    """As what it is closed: the first that closed it decided. One that a newer run closed ends as requested."""

    outcome: RunOutcome
    counts: Counts


class Parent(msgspec.Struct, frozen=True):
    """A row under which children are fetched: its key, and its columns that the child's path names."""

    key: str
    columns: Mapping[str, str]


class ParentsRequest(msgspec.Struct, frozen=True):
    """Up to `limit` rows behind the key `after`, with the named columns. `unread_by`: only those whose children that
    run (by id) has not read to their end."""

    adapter: str
    entity: Entity
    org: str
    columns: Sequence[str]
    after: str | None
    limit: int
    unread_by: str | None = None
    due: Due | None = None


class Cut(msgspec.Struct, frozen=True):
    """Which records of a page are wanted: without the first `overlap`, which the page before has too. If it is known
    where that one ends, those behind `after`, without the first one of the page. None behind `before`."""

    overlap: int = 0
    after: str | None = None
    before: str | None = None


EVERYTHING = Cut()


class FetchRequest(msgspec.Struct, frozen=True):
    """A page of an entity: from the record at `start` on, or by a link that a page named; for a child under its parent.

    `page` is its number in the run, for sentences. `cut` is called when the answer has come: only then it may be known
    where the page before ends. `rank`: of those that wait for the same API, the lower one is served first.
    """

    org: str
    adapter: Adapter
    entity: Entity
    page: int = 1
    start: int | None = 0
    size: int = 100
    link: str | None = None
    parent: Parent | None = None
    cut: Callable[[], Cut] = lambda: EVERYTHING
    rank: int = 0


class Clock(Protocol):
    def now(self) -> datetime:
        """The wall clock, in UTC."""

    def monotonic(self) -> float:
        """Seconds that never go back."""


class Source(Protocol):
    async def fetch(self, request: FetchRequest) -> PageBody | None:
        """The page, read and typed. None: the parent it stands under is gone.

        Waits for the connection's budget and its turn, and retries for a while. Raises Retryable when that was not
        enough, Rejected when the API will never answer this.
        """


class Sink(Protocol):
    """The database: rows, page ledger and run fences. Each method is one transaction, safe to repeat.

    Raises Retryable where the database cannot be reached, or the outcome of a commit is not known; Rejected for a
    configuration that can never work; Broken for an invariant that does not hold.
    """

    async def prepare(self, adapter: Adapter) -> Mapping[str, SluiceError]:
        """Create what the adapter's entities need: a table each, and the columns that are not there yet. Returns the
        entities that have no fit table, with the reason; the others can be stored."""

    async def open_leases(self, requests: Sequence[LeaseRequest]) -> Sequence[LeaseState]:
        """Open each run unless it or a newer one of its workflow was closed or opened; read the ledger.

        Opening a run closes every older open run of its workflow ("superseded").
        """

    async def commit(self, pages: Sequence[PageWrite]) -> Sequence[PageOutcome]:
        """Write pages of one entity's table (at most PAGES_PER_COMMIT_MAX), each all or nothing, in one transaction.

        Rows, ledger line and the check that the run is open (a lock on the run) share the transaction. Pages that hold
        two versions of a record go in several transactions, in their order.

        A row with another hash replaces the stored one unless that one is newer: of a run, by the source's time or else
        the moment of reading; of a run of another type, by both; never of an older run of its workflow. Two versions in
        a run, of which neither is newer by the source's time, or under two parents, are a collision: one is kept, the
        other one is a rejected record. A record that is stored clears its rejection.
        """

    async def parents(self, request: ParentsRequest) -> Sequence[Parent]:
        """Rows of a parent entity in key order (by bytes)."""

    async def ledger_sums(self, run: str) -> LedgerSums:
        """Of an open run."""

    async def ignore_watermark(self, run: RunRef) -> None:
        """The open run reads everything. That its watermark was not used is noted with that."""

    async def count(self, adapter: str, entity: Entity, org: str) -> int:
        """How many rows the organisation has of an entity."""

    async def newest_proof(self, workflow: str) -> Proof | None:
        """Of the workflow's newest run; None if that is not done."""

    async def close_runs(self, ends: Sequence[RunEnd]) -> Sequence[ClosedRun | None]:
        """Close each run (opened or not) and fold its ledger lines into counts. Repeated: the same answer.

        With a run that is done the watermark of its entity moves to that of its proof, never back. None: it is left
        open, since its ledger has not as many pages as its proof says.
        """

    async def close(self) -> None: ...
