"""The sink as activities use it: concurrent calls share transactions, and each call is retried while the database is
away for a moment. What waits for one table holds up no other one.
"""

from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from functools import partial
from itertools import islice
from operator import itemgetter
from typing import Any, TypeVar

from agents import concurrency
from agents.activities.batcher import BatchCall, Batcher
from agents.core.retry import DATABASE
from agents.deletes import Check, DeletingSink, Missing, Sweep
from agents.failpoints import failpoints
from agents.ledger import Comparison, LedgerSums, Proof
from agents.ports import (
    PAGES_PER_COMMIT_MAX,
    ClosedRun,
    LeaseRequest,
    LeaseState,
    PageOutcome,
    PageWrite,
    Parent,
    ParentsRequest,
    RunEnd,
    RunRef,
)
from manifests.entity import Adapter, Entity
from topics.errors import Rejected, Retryable, SluiceError

RUNS_PER_BATCH_MAX = 64  # that are opened, or closed
ROWS_PER_PAGE, BYTES_PER_PAGE = 200, 500_000  # a page with more counts as several of PAGES_PER_COMMIT_MAX

Sleep = Callable[[float], Awaitable[None]]
T = TypeVar("T")
R = TypeVar("R")
Pages = tuple[PageWrite, ...]
TableRead = tuple[Hashable, Callable[[], Awaitable[Any]]]  # the table and what reads it
Outcomes = tuple[PageOutcome | Retryable | Rejected, ...]


class Database:
    """A sink with group commit and retries. Every call is safe to repeat, so each is repeated on Retryable."""

    def __init__(self, sink: DeletingSink, sleep: Sleep) -> None:
        self._sink = sink
        self._sleep = sleep
        self._unprepared: dict[tuple[str, str], Adapter] = {}  # entities of the manifests without a fit table
        self._preparations: Batcher[Adapter, Mapping[str, SluiceError]] = Batcher(
            self._prepare, batch_size_max=RUNS_PER_BATCH_MAX, concurrency_max=1
        )
        self._leases: Batcher[LeaseRequest, LeaseState] = _batcher(sink.open_leases)
        self._ends: Batcher[RunEnd, ClosedRun | None] = _batcher(sink.close_runs)
        self._commits: Batcher[Pages, Outcomes] = Batcher(
            self._commit_batch,
            batch_size_max=PAGES_PER_COMMIT_MAX,
            concurrency_max=concurrency.COMMIT_BATCHES,
            group_concurrency_max=concurrency.COMMIT_BATCHES_PER_TABLE,
            group_of=lambda pages: (pages[0].run.adapter, pages[0].entity.name),
            size_of=lambda pages: sum(map(_weight, pages)),
        )
        self._reads: Batcher[TableRead, Any] = Batcher(
            _read,
            batch_size_max=1,
            concurrency_max=concurrency.TABLE_READS,
            group_concurrency_max=1,
            group_of=itemgetter(0),
        )

    async def prepare(self, adapter: Adapter) -> Mapping[str, SluiceError]:
        """Make the tables of the adapter's entities. What is wrong with one fails its leases from then on, with that
        reason, until it is put right; the others are stored.
        """
        problems = await self._preparations(adapter)
        for entity in adapter.entities:
            self._unprepared.pop((adapter.name, entity), None)
        self._unprepared |= {(adapter.name, entity): adapter for entity in problems}
        return problems

    async def _prepare(self, adapters: Sequence[Adapter]) -> Sequence[Mapping[str, SluiceError]]:
        """One after the other, however many leases wait for it: a table that is locked takes one connection."""
        problems = {name: await self._sink.prepare(one) for name, one in {one.name: one for one in adapters}.items()}
        return [problems[one.name] for one in adapters]

    async def open_lease(self, request: LeaseRequest) -> LeaseState:
        """Rejected if the entity has no fit table."""
        return await self._with_retries(lambda: self._open_lease(request))

    async def _open_lease(self, request: LeaseRequest) -> LeaseState:
        adapter = self._unprepared.get((request.run.adapter, request.run.entity))
        if adapter is not None and (problem := (await self.prepare(adapter)).get(request.run.entity)):
            raise problem
        return await self._leases(request)

    async def commit(self, pages: Pages) -> Outcomes:
        """Pages of one run, in this order: none is committed unless those before it are. At least one, and no more
        than fit into a transaction.

        An outcome per page, up to the first that has none. What is wrong with the first page is raised; with a later
        one, it stands in its place and ends the outcomes.
        """
        outcomes = await self._with_retries(lambda: self._commits(pages))
        if failpoints.armed:
            await failpoints.reach("after_db_commit")
        return outcomes

    async def commit_page(self, page: PageWrite) -> PageOutcome:
        (outcome,) = await self.commit((page,))
        assert isinstance(outcome, PageOutcome)
        return outcome

    async def _commit_batch(self, groups: Sequence[Pages]) -> Sequence[Outcomes | Exception]:
        """Together if that works; what is wrong with one page must not fail another organisation's."""
        try:
            outcomes = iter(await self._sink.commit([page for pages in groups for page in pages]))
        except Rejected:
            return [await self._one_by_one(pages) for pages in groups]
        return [tuple(islice(outcomes, len(pages))) for pages in groups]

    async def _one_by_one(self, pages: Pages) -> Outcomes | Exception:
        outcomes: list[PageOutcome | Retryable | Rejected] = []
        for page in pages:
            try:
                outcomes += await self._sink.commit([page])
            except (Retryable, Rejected) as error:
                return (*outcomes, error) if outcomes else error
        return tuple(outcomes)

    async def close_run(self, end: RunEnd) -> ClosedRun:
        """Retryable, too, if the ledger changed after the proof was made: the database has lost pages meanwhile."""
        closed = await self._with_retries(lambda: self._ends(end))
        if closed is None:
            raise Retryable("the ledger has other pages than a moment ago: the run is compared with it again")
        return closed

    async def find_missing(self, sweep: Sweep, sample: int, limit: int) -> Missing:
        find = partial(self._sink.find_missing, sweep, sample, limit)
        return await self._read(sweep.adapter.name, sweep.entity, find)

    async def note_checks(self, run: RunRef, checks: Sequence[Check]) -> None:
        await self._with_retries(lambda: self._sink.note_checks(run, checks))

    async def sweep(self, sweep: Sweep) -> Comparison | None:
        return await self._read(sweep.adapter.name, sweep.entity, lambda: self._sink.sweep(sweep))

    async def compare(self, run: RunRef, reason: str) -> Comparison:
        return await self._with_retries(lambda: self._sink.compare(run, reason))

    async def ignore_watermark(self, run: RunRef) -> None:
        await self._with_retries(lambda: self._sink.ignore_watermark(run))

    async def count(self, adapter: str, entity: Entity, org: str) -> int:
        return await self._read(adapter, entity, lambda: self._sink.count(adapter, entity, org))

    async def parents(self, request: ParentsRequest) -> Sequence[Parent]:
        return await self._read(request.adapter, request.entity, lambda: self._sink.parents(request))

    async def ledger_sums(self, run: str) -> LedgerSums:
        return await self._with_retries(lambda: self._sink.ledger_sums(run))

    async def newest_proof(self, workflow: str) -> Proof | None:
        return await self._with_retries(lambda: self._sink.newest_proof(workflow))

    async def _read(self, adapter: str, entity: Entity, call: Callable[[], Awaitable[R]]) -> R:
        found: R = await self._with_retries(lambda: self._reads(((adapter, entity.name), call)))
        return found

    async def _with_retries(self, call: Callable[[], Awaitable[R]]) -> R:
        """An error that names a time is the workflow's to wait for: here the wait would hold up other workflows."""
        attempt = 1
        while True:
            try:
                return await call()
            except Retryable as error:
                if DATABASE.is_exhausted(attempt) or error.after_seconds is not None:
                    raise
            await self._sleep(DATABASE.wait_seconds(attempt))
            attempt += 1


def _weight(page: PageWrite) -> int:
    """Pages of the usual size in it: what a transaction takes is bounded in rows and in bytes, too."""
    return max(1, len(page.rows) // ROWS_PER_PAGE, sum(len(row.raw) for row in page.rows) // BYTES_PER_PAGE)


async def _read(reads: Sequence[TableRead]) -> Sequence[Any]:
    return [await call() for _, call in reads]


def _batcher(call: BatchCall[T, R]) -> Batcher[T, R]:
    return Batcher(call, batch_size_max=RUNS_PER_BATCH_MAX, concurrency_max=concurrency.DATABASE_BATCHES)
