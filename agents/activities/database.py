"""The sink as activities use it: concurrent calls share transactions, and each call is retried while the database is
away for a moment.
"""

from collections.abc import Awaitable, Callable, Sequence
from itertools import islice
from typing import TypeVar

from agents import concurrency
from agents.activities.batcher import BatchCall, Batcher
from agents.core.retry import DATABASE
from agents.failpoints import failpoints
from agents.ledger import LedgerSums
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
    Sink,
)
from manifests.entity import Entity
from topics.errors import Rejected, Retryable

RUNS_PER_BATCH_MAX = 64  # that are opened, or closed

Sleep = Callable[[float], Awaitable[None]]
T = TypeVar("T")
R = TypeVar("R")
Pages = tuple[PageWrite, ...]
Outcomes = tuple[PageOutcome | Retryable | Rejected, ...]


class Database:
    """A sink with group commit and retries. Every call is safe to repeat, so each is repeated on Retryable."""

    def __init__(self, sink: Sink, sleep: Sleep) -> None:
        self._sink = sink
        self._sleep = sleep
        self._leases: Batcher[LeaseRequest, LeaseState] = _batcher(sink.open_leases)
        self._ends: Batcher[RunEnd, ClosedRun] = _batcher(sink.close_runs)
        self._commits: Batcher[Pages, Outcomes] = Batcher(
            self._commit_batch,
            batch_size_max=PAGES_PER_COMMIT_MAX,
            concurrency_max=concurrency.DATABASE_BATCHES,
            group_of=lambda pages: (pages[0].run.adapter, pages[0].entity.name),
            size_of=len,
        )

    async def open_lease(self, request: LeaseRequest) -> LeaseState:
        return await self._with_retries(lambda: self._leases(request))

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
        return await self._with_retries(lambda: self._ends(end))

    async def count(self, adapter: str, entity: Entity, org: str) -> int:
        return await self._with_retries(lambda: self._sink.count(adapter, entity, org))

    async def parents(self, request: ParentsRequest) -> Sequence[Parent]:
        return await self._with_retries(lambda: self._sink.parents(request))

    async def ledger_sums(self, run: str) -> LedgerSums:
        return await self._with_retries(lambda: self._sink.ledger_sums(run))

    async def _with_retries(self, call: Callable[[], Awaitable[R]]) -> R:
        attempt = 1
        while True:
            try:
                return await call()
            except Retryable:
                if DATABASE.is_exhausted(attempt):
                    raise
            await self._sleep(DATABASE.wait_seconds(attempt))
            attempt += 1


def _batcher(call: BatchCall[T, R]) -> Batcher[T, R]:
    return Batcher(call, batch_size_max=RUNS_PER_BATCH_MAX, concurrency_max=concurrency.DATABASE_BATCHES)
