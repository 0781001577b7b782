"""Chains of pages, each of which names the next: fetched and committed in order, both at the same time.

No page is committed before the one in front of it: a retry could otherwise find the page that is missing changed, and
a gap where it used to end.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import TypeAlias

from agents import concurrency
from agents.activities.pages import Pages
from agents.activities.results import REPORTABLE, Failure, Fenced, UnitResult, failure_of, from_ledger
from agents.ports import LedgerLine, PageBody, PageOutcome
from topics.errors import Rejected, Retryable

Fetched = tuple[int, PageBody]
Queue: TypeAlias = "asyncio.Queue[Fetched | None]"


class Chain:
    """Part of a chain: `units` pages from page `first` on, whose link is `cursor`, until `must_stop`."""

    def __init__(self, pages: Pages, first: int, units: int, cursor: str | None, must_stop: Callable[[], bool]) -> None:
        self._pages = pages
        self._range = range(first, first + units)
        self._cursor = cursor
        self._must_stop = must_stop
        self._failed = False
        self._fetched: Queue = asyncio.Queue()
        self._slots = asyncio.Semaphore(concurrency.COMMITS_AHEAD)
        self._committing: asyncio.Task[list[UnitResult]] | None = None

    async def read(self, known: Mapping[int, LedgerLine]) -> list[UnitResult]:
        """The result of each page, in order; that of `known` ones is from the ledger."""
        reported: list[UnitResult] = []
        async with asyncio.TaskGroup() as group:
            failure = await self._fetch(known, reported, group)
            self._fetched.put_nowait(None)
            committed = await (self._committing or self._commit())
        return [*reported, *committed, *([failure] if failure else [])]

    async def _fetch(
        self, known: Mapping[int, LedgerLine], reported: list[UnitResult], group: asyncio.TaskGroup
    ) -> Failure | None:
        """Read the ledger as far as it goes, then the API. The failure that ended it, if there was one.

        Commits begin as soon as there is something to be fetched meanwhile.
        """
        link, links = self._cursor, set[str | None]()
        for page in self._range:
            if page > self._range.start and (self._failed or self._must_stop()):
                return None
            line = None if links else known.get(page)
            if line is not None:
                reported.append(from_ledger(line))
                link, is_last = line.next_cursor, line.is_last
            else:
                await self._slots.acquire()
                try:
                    body = await self._next(page, link, links)
                except REPORTABLE as error:
                    return failure_of(error)
                self._fetched.put_nowait((page, body))
                link, is_last = body.next, self._pages.is_last(page, body)
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
        """Pages that were fetched during a commit share the next one. After a failure nothing more is committed."""
        results: list[UnitResult] = []
        while group := await self._whatever_waits():
            if not self._failed:
                results += await self._committed(group)
            for _ in group:
                self._slots.release()
        return results

    async def _whatever_waits(self) -> list[Fetched]:
        """All fetched pages, at least one; none at the end of the chain."""
        group: list[Fetched] = []
        one = await self._fetched.get()
        while one is not None:
            group.append(one)
            if self._fetched.empty():
                return group
            one = self._fetched.get_nowait()
        self._fetched.put_nowait(None)
        return group

    async def _committed(self, group: list[Fetched]) -> list[UnitResult]:
        try:
            outcomes = await self._pages.commit_in_order(group)
        except REPORTABLE as error:
            self._failed = True
            return [failure_of(error)]
        said = zip(group, outcomes, strict=False)
        results = [self._result(body, one) for (_, body), one in said]
        self._failed = any(isinstance(result, Failure) for result in results)
        return results

    def _result(self, body: PageBody, said: PageOutcome | Retryable | Rejected) -> UnitResult:
        if not isinstance(said, PageOutcome):
            return failure_of(said)
        return failure_of(Fenced()) if said.status == "fenced" else self._pages.done(body, said)
