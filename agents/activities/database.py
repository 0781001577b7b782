"""The sink as activities use it: calls share transactions, and a database that is away for a moment is waited for."""

from collections.abc import Awaitable, Callable, Sequence
from itertools import islice
from typing import TypeVar

from agents.activities.batcher import BatchCall, Batcher
from agents.core.retry import backoff_seconds
from agents.failpoints import failpoints
from agents.ports import (
    PAGES_PER_COMMIT_MAX,
    ClosedRun,
    LeaseRequest,
    LeaseState,
    PageOutcome,
    PageWrite,
    Parent,
    RunEnd,
    Sink,
)
from manifests.entity import Entity
from topics.errors import Rejected, Retryable

RUNS_PER_BATCH_MAX = 64  # that are opened, or closed
RUN_BATCHES_MAX = 2  # of each
COMMIT_BATCHES_MAX = 2
ATTEMPTS_MAX = 6  # with the waits below about 15 s; then the lease is given back
WAIT_FIRST_SECONDS = 0.5
WAIT_LONGEST_SECONDS = 8.0

Sleep = Callable[[float], Awaitable[None]]
T = TypeVar("T")
R = TypeVar("R")
Pages = tuple[PageWrite, ...]
Outcomes = tuple[PageOutcome | Retryable | Rejected, ...]


class Database:
    """A sink with group commit and patience. Every call is safe to repeat, so each is repeated on Retryable."""

    def __init__(self, sink: Sink, sleep: Sleep) -> None:
        self._sink = sink
        self._sleep = sleep
        self._grants: Batcher[LeaseRequest, LeaseState] = self._of_runs(sink.grant)
        self._ends: Batcher[RunEnd, ClosedRun] = self._of_runs(sink.finish)
        self._commits: Batcher[Pages, Outcomes] = Batcher(
            self._commit_batch,
            batch_size_max=PAGES_PER_COMMIT_MAX,
            concurrency_max=COMMIT_BATCHES_MAX,
            group_of=lambda pages: (pages[0].run.adapter, pages[0].entity.name),
            size_of=len,
        )

    def _of_runs(self, trip: BatchCall[T, R]) -> Batcher[T, R]:
        return Batcher(trip, batch_size_max=RUNS_PER_BATCH_MAX, concurrency_max=RUN_BATCHES_MAX)

    async def grant(self, ask: LeaseRequest) -> LeaseState:
        return await self._patiently(lambda: self._grants(ask))

    async def commit(self, pages: Pages) -> Outcomes:
        """Pages of one run, in this order: none is committed unless those before it are. At least one, and no more
        than fit into a transaction.

        An outcome a page, up to the first that is none. What is wrong with the first page is raised; with a later
        one, it stands in its place and ends the outcomes.
        """
        outcomes = await self._patiently(lambda: self._commits(pages))
        if failpoints.armed:
            await failpoints.reach("after_db_commit")
        return outcomes

    async def commit_page(self, page: PageWrite) -> PageOutcome:
        (outcome,) = await self.commit((page,))
        assert isinstance(outcome, PageOutcome)
        return outcome

    async def _commit_batch(self, bundles: Sequence[Pages]) -> Sequence[Outcomes | Exception]:
        """Together if that works; what is wrong with one page must not fail another organisation's."""
        try:
            outcomes = iter(await self._sink.commit([page for pages in bundles for page in pages]))
        except Rejected:
            return [await self._one_by_one(pages) for pages in bundles]
        return [tuple(islice(outcomes, len(pages))) for pages in bundles]

    async def _one_by_one(self, pages: Pages) -> Outcomes | Exception:
        outcomes: list[PageOutcome | Retryable | Rejected] = []
        for page in pages:
            try:
                outcomes += await self._sink.commit([page])
            except (Retryable, Rejected) as error:
                return (*outcomes, error) if outcomes else error
        return tuple(outcomes)

    async def finish(self, end: RunEnd) -> ClosedRun:
        return await self._patiently(lambda: self._ends(end))

    async def count(self, adapter: str, entity: Entity, org: str) -> int:
        return await self._patiently(lambda: self._sink.count(adapter, entity, org))

    async def parents(
        self, adapter: str, entity: Entity, org: str, columns: Sequence[str], after: str | None, limit: int
    ) -> Sequence[Parent]:
        return await self._patiently(lambda: self._sink.parents(adapter, entity, org, columns, after, limit))

    async def _patiently(self, call: Callable[[], Awaitable[R]]) -> R:
        for attempt in range(1, ATTEMPTS_MAX):
            try:
                return await call()
            except Retryable as error:
                wait = backoff_seconds(attempt, WAIT_FIRST_SECONDS, WAIT_LONGEST_SECONDS, error.after_seconds)
            await self._sleep(wait)
        return await call()
