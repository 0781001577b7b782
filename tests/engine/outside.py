"""What fetchers meet outside: one database, one API. Both answer when the engine lets them, fail, and keep a record."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from copy import copy
from dataclasses import dataclass, field, replace
from typing import TypeVar

from agents.deletes import Check, Missing, Sweep
from agents.ledger import Comparison, LedgerSums, Proof
from agents.ports import (
    ClosedRun,
    FetchRequest,
    LeaseRequest,
    LeaseState,
    LedgerLine,
    PageBody,
    PageOutcome,
    PageWrite,
    Parent,
    ParentsRequest,
    RowWrite,
    RunEnd,
    RunRef,
)
from manifests.entity import Adapter, Entity
from tests.engine.faults import Faults, Gate
from tests.support.memory import ListSource, MemorySink
from topics.command import Counts
from topics.errors import SluiceError

API_SECONDS = (0.01, 0.1, 0.7, 3.0)
R = TypeVar("R")
Page = tuple[str, str, int]  # run id, parent, page

begun: ContextVar[tuple[str, int]] = ContextVar("begun")
"""The run that a task reads for, and how many pages had been committed by then."""


@dataclass(frozen=True)
class Committed:
    """A page as the database took it: under which run, in which state that run was, and which rows."""

    run: str
    number: int
    parent: str
    page: int
    state: str
    newest: int
    counts: Counts
    rows: tuple[tuple[str, str, str], ...]  # entity, org, key


class AuditedSink(MemorySink):
    """The database, with every page that was ever committed. Without its fence it takes pages of any run; without its
    guard it keeps, across runs too, whatever has the newer source time.

    `opened` says at which `moment` each run was opened; `on_closed` hears of each run that is closed, and its lines. A
    failover puts back an earlier `copy`: `lost` are the runs that had been closed and may be open again.
    """

    def __init__(self, has_fence: bool = True, has_guard: bool = True) -> None:
        super().__init__()
        self.committed: list[Committed] = []
        self.places: dict[Page, int] = {}
        self.commits = 0
        self.opened: dict[str, int] = {}
        self.lost: set[str] = set()
        self.moment: Callable[[], int] = lambda: 0
        self.on_closed: Callable[[RunEnd, Sequence[LedgerLine]], None] = lambda end, lines: None
        self._has_fence = has_fence
        self._has_guard = has_guard

    def copy(self) -> "AuditedSink":
        """As it is now."""
        made = copy(self)
        made.rows = {name: dict(rows) for name, rows in self.rows.items()}
        made.runs = {id: replace(run, lines=dict(run.lines)) for id, run in self.runs.items()}
        made.origins, made.places, made.opened = dict(self.origins), dict(self.places), dict(self.opened)
        made.committed, made.sweeping = list(self.committed), self.sweeping.copy()
        return made

    def fail_over(self, replica: "AuditedSink") -> None:
        """What was committed since the replica was what it is now is lost."""
        known = {id: run.state for id, run in replica.runs.items()}
        self.lost |= {id for id, run in self.runs.items() if run.state != "open" and known.get(id) != run.state}
        mine = ("rows", "runs", "origins", "places", "opened", "committed", "sweeping")
        self.__dict__.update({name: replica.copy().__dict__[name] for name in mine})

    def replaces(self, page: PageWrite, row: RowWrite, origin: PageWrite, stored: RowWrite) -> bool:
        if self._has_guard or row.updated_at is None or stored.updated_at is None:
            return super().replaces(page, row, origin, stored)
        return row.updated_at >= stored.updated_at and row.content_hash != stored.content_hash

    def _open(self, ref: RunRef) -> None:
        is_known = ref.id in self.runs
        super()._open(ref)
        if not is_known and ref.id in self.runs:
            self.opened[ref.id] = self.moment()

    def _close_run(self, end: RunEnd) -> ClosedRun | None:
        run = self.runs.get(end.run.id)
        lines = tuple(run.lines.values()) if run is not None and run.state == "open" else None
        closed = super()._close_run(end)
        if lines is not None and closed is not None:
            self.on_closed(end, lines)
        return closed

    def _commit(self, page: PageWrite) -> PageOutcome:
        run = self.runs.get(page.run.id)
        state = run.state if run else "unknown"
        if run is not None and not self._has_fence:
            run.state = "open"
        outcome = super()._commit(page)
        if run is not None and not self._has_fence:
            run.state = state
        if outcome.status == "committed":
            self._audit(page, state, outcome.counts)
        return outcome

    def _audit(self, page: PageWrite, state: str, counts: Counts) -> None:
        newest = max(run.ref.number for run in self.runs.values() if run.ref.workflow == page.run.workflow)
        rows = tuple((page.entity.name, page.run.org, row.key) for row in page.rows)
        self.places.setdefault((page.run.id, page.parent, page.page), self.commits)
        self.commits += 1
        self.committed.append(
            Committed(page.run.id, page.run.number, page.parent, page.page, state, newest, counts, rows)
        )


class FlakySink:
    """A process's connection. A call waits, fails before the effect or after it: then nobody knows of it."""

    def __init__(self, name: str, sink: AuditedSink, faults: Faults, gate: Gate) -> None:
        self._name = name
        self._sink = sink
        self._faults = faults
        self._gate = gate

    async def prepare(self, adapter: Adapter) -> Mapping[str, SluiceError]:
        return {}

    async def close(self) -> None: ...

    async def open_leases(self, requests: Sequence[LeaseRequest]) -> Sequence[LeaseState]:
        return await self._transaction("open_leases", lambda: self._sink.open_leases(requests))

    async def commit(self, pages: Sequence[PageWrite]) -> Sequence[PageOutcome]:
        return await self._transaction("commit", lambda: self._sink.commit(pages))

    async def parents(self, request: ParentsRequest) -> Sequence[Parent]:
        return await self._transaction("parents", lambda: self._sink.parents(request))

    async def ledger_sums(self, run: str) -> LedgerSums:
        return await self._transaction("ledger_sums", lambda: self._sink.ledger_sums(run))

    async def count(self, adapter: str, entity: Entity, org: str) -> int:
        return await self._transaction("count", lambda: self._sink.count(adapter, entity, org))

    async def newest_proof(self, workflow: str) -> Proof | None:
        return await self._transaction("newest_proof", lambda: self._sink.newest_proof(workflow))

    async def find_missing(self, sweep: Sweep, sample: int, limit: int) -> Missing:
        return await self._transaction("find_missing", lambda: self._sink.find_missing(sweep, sample, limit))

    async def note_checks(self, run: RunRef, checks: Sequence[Check]) -> None:
        await self._transaction("note_checks", lambda: self._sink.note_checks(run, checks))

    async def sweep(self, sweep: Sweep) -> Comparison | None:
        return await self._transaction("sweep", lambda: self._sink.sweep(sweep))

    async def compare(self, run: RunRef, reason: str) -> Comparison:
        return await self._transaction("compare", lambda: self._sink.compare(run, reason))

    async def ignore_watermark(self, run: RunRef) -> None:
        await self._transaction("ignore_watermark", lambda: self._sink.ignore_watermark(run))

    async def close_runs(self, ends: Sequence[RunEnd]) -> Sequence[ClosedRun | None]:
        return await self._transaction("close_runs", lambda: self._sink.close_runs(ends))

    async def _transaction(self, what: str, effect: Callable[[], Awaitable[R]]) -> R:
        await self._gate.through()
        self._faults.fail(self._name, f"the database is away at {what}")
        answer = await effect()
        await self._gate.through()
        self._faults.fail(self._name, f"the outcome of {what} is not known")
        return answer


@dataclass
class Api:
    """The source's data, which may move, and what was requested although it was committed when the work began."""

    lists: ListSource
    sink: AuditedSink
    requested_again: list[Page] = field(default_factory=list)


class FlakySource:
    """A process's way to the API: slow, and now and then refused."""

    def __init__(self, name: str, api: Api, faults: Faults, gate: Gate) -> None:
        self._name = name
        self._api = api
        self._faults = faults
        self._gate = gate

    async def fetch(self, request: FetchRequest) -> PageBody | None:
        run, known = begun.get()
        page = (run, request.parent.key if request.parent else "", request.page)
        if self._api.sink.places.get(page, known) < known:
            self._api.requested_again.append(page)
        await self._gate.through(self._faults.random.choice(API_SECONDS) if self._faults.trouble else 0.0)
        self._faults.fail(self._name, "503")
        return await self._api.lists.fetch(request)
