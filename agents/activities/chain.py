"""Pages that name each other: fetched one after the other, committed in that order, and both at the same time.

No page is committed before the one in front of it: a retry could otherwise find the page that is missing changed, and
a gap where it used to end.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import TypeAlias

from agents.activities.pages import Pages
from agents.activities.units import REPORTABLE, Failure, Fenced, UnitResult, failure_of, from_ledger
from agents.ports import LedgerLine, PageOutcome
from agents.records.reader import PageBody
from topics.errors import Rejected, Retryable

COMMITS_AHEAD_MAX = 4  # pages that wait for their commit while the next is fetched

Fetched = tuple[int, PageBody]
Queue: TypeAlias = "asyncio.Queue[Fetched | None]"


class Chain:
    """A stretch of a chain: `units` pages from page `first` on, which `cursor` leads to, until `must_stop`."""

    def __init__(self, pages: Pages, first: int, units: int, cursor: str | None, must_stop: Callable[[], bool]) -> None:
        self._pages = pages
        self._range = range(first, first + units)
        self._cursor = cursor
        self._must_stop = must_stop
        self._failed = False
        self._fetched: Queue = asyncio.Queue()
        self._slots = asyncio.Semaphore(COMMITS_AHEAD_MAX)
        self._committing: asyncio.Task[list[UnitResult]] | None = None

    async def read(self, known: Mapping[int, LedgerLine]) -> list[UnitResult]:
        """What became of each page, in order; of `known` ones the ledger tells."""
        told: list[UnitResult] = []
        async with asyncio.TaskGroup() as group:
            failure = await self._fetch(known, told, group)
            self._fetched.put_nowait(None)
            committed = await (self._committing or self._commit())
        return [*told, *committed, *([failure] if failure else [])]

    async def _fetch(
        self, known: Mapping[int, LedgerLine], told: list[UnitResult], group: asyncio.TaskGroup
    ) -> Failure | None:
        """From the ledger as far as it goes, then from the API; what ended it, if that was a failure.

        Commits begin as soon as there is something to be fetched meanwhile.
        """
        link, links = self._cursor, set[str | None]()
        for page in self._range:
            if page > self._range.start and (self._failed or self._must_stop()):
                return None
            line = None if links else known.get(page)
            if line is not None:
                told.append(from_ledger(line))
                link, is_last = line.next_cursor, line.is_last
            else:
                await self._slots.acquire()
                try:
                    body = await self._next(page, link, links)
                except REPORTABLE as error:
                    return failure_of(error)
                self._fetched.put_nowait((page, body))
                link, is_last = body.next, self._pages.ends(page, body)
            if is_last:
                return None
            if self._committing is None:
                self._committing = group.create_task(self._commit())
        return None

    async def _next(self, page: int, link: str | None, links: set[str | None]) -> PageBody:
        body = await self._pages.fetch(page, link)
        links.add(link)
        if body.next in links and body.next is not None:
            raise Rejected(f"page {page} of {self._pages.entity.name} leads back to one before: a loop")
        return body

    async def _commit(self) -> list[UnitResult]:
        """What was fetched meanwhile shares a transaction. After a failure nothing more is committed."""
        results: list[UnitResult] = []
        while bundle := await self._whatever_waits():
            if not self._failed:
                results += await self._committed(bundle)
            for _ in bundle:
                self._slots.release()
        return results

    async def _whatever_waits(self) -> list[Fetched]:
        """At least one; none at the end, which is then seen again."""
        bundle: list[Fetched] = []
        one = await self._fetched.get()
        while one is not None:
            bundle.append(one)
            if self._fetched.empty():
                return bundle
            one = self._fetched.get_nowait()
        self._fetched.put_nowait(None)
        return bundle

    async def _committed(self, bundle: list[Fetched]) -> list[UnitResult]:
        try:
            outcomes = await self._pages.commit_in_order(bundle)
        except REPORTABLE as error:
            self._failed = True
            return [failure_of(error)]
        said = zip(bundle, outcomes, strict=False)
        results = [self._result(body, one) for (_, body), one in said]
        self._failed = any(isinstance(result, Failure) for result in results)
        return results

    def _result(self, body: PageBody, said: PageOutcome | Retryable | Rejected) -> UnitResult:
        if not isinstance(said, PageOutcome):
            return failure_of(said)
        return failure_of(Fenced()) if said.status == "fenced" else self._pages.done(body, said)
