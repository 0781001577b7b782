"""Chains of pages, each of which names the next: fetched and committed in order, both at the same time.

No page is committed before the one in front of it: a retry could otherwise find the page that is missing changed, and
a gap where it used to end.
"""

import asyncio
from typing import TypeAlias

from agents import concurrency
from agents.activities.lease import Lease
from agents.activities.links import fingerprint
from agents.activities.pages import Page
from agents.activities.results import REPORTABLE, Failure, Fenced, UnitResult, failure_of
from agents.ledger import Extent
from agents.ports import PageOutcome
from topics.errors import Rejected, Retryable

EMPTY_PAGES_MAX = 250  # in a row, of a chain that names a next page each time; more of them are no collection

Queue: TypeAlias = "asyncio.Queue[Page | None]"


class Chain:
    """Part of a chain: `units` pages from page `first` on, whose link is `cursor`, until the lease must stop."""

    def __init__(self, lease: Lease, first: int, units: int, cursor: str | None) -> None:
        self._lease = lease
        self._range = range(first, first + units)
        self._cursor = cursor
        self._failed = False
        landmark = None if lease.command.closing else lease.command.landmark  # pages that are read again lead past it
        self._links = {landmark} if landmark else set[str]()
        self._empty = 0
        self._fetched: Queue = asyncio.Queue()
        self._slots = asyncio.Semaphore(concurrency.COMMITS_AHEAD)
        self._committing: asyncio.Task[list[UnitResult]] | None = None

    async def read(self) -> list[UnitResult]:
        """The result of each page, in order; that of pages in the ledger is from there."""
        reported: list[UnitResult] = []
        async with asyncio.TaskGroup() as group:
            failure = await self._fetch(reported, group)
            self._fetched.put_nowait(None)
            committed = await (self._committing or self._commit())
        return [*reported, *committed, *([failure] if failure else [])]

    async def _fetch(self, reported: list[UnitResult], group: asyncio.TaskGroup) -> Failure | None:
        """Read what the ledger has, and the API where that has nothing. The failure that ended it, if there was one.

        Commits begin as soon as there is something to be fetched meanwhile.
        """
        link, front = self._cursor, self._lease.front(self._range.start)
        for number in self._range:
            if number > self._range.start and (self._failed or self._lease.must_stop()):
                return None
            done = self._lease.known(number)
            if done is not None:
                reported.append(done)
                link, is_last, front = done.next_cursor, done.end, self._lease.front(number + 1)
                self._learn(number, done.shown, is_last)
            else:
                await self._slots.acquire()
                try:
                    page = await self._next(number, link, front)
                except REPORTABLE as error:
                    return failure_of(error)
                self._fetched.put_nowait(page)
                link, is_last, front = page.body.next, page.is_last, page.extent
                self._learn(number, page.body.records, is_last)
            if is_last:
                return None
            if self._committing is None:
                self._committing = group.create_task(self._commit())
        return None

    def _learn(self, number: int, records: int, is_last: bool) -> None:
        """The size of the API's pages matters where they overlap. Elsewhere a page may be as short as the API likes."""
        if self._lease.layout.overlap:
            self._lease.layout = self._lease.layout.as_shown(number, records, is_last)

    async def _next(self, number: int, link: str | None, front: Extent | None) -> Page:
        layout = self._lease.layout
        address = layout.first() if link is None else layout.following(link)
        page = await self._lease.pages.fetch(number, address, layout, front=lambda: front)
        self._links.add(fingerprint(link))
        if page.body.next is not None and fingerprint(page.body.next) in self._links:
            raise Rejected(f"page {number} of {self._lease.pages.entity.name} leads back to one before: a loop")
        self._empty = 0 if page.body.records else self._empty + 1
        if self._empty > EMPTY_PAGES_MAX:
            raise Rejected(f"{self._empty} pages up to {number} have no records, and name a next page each time")
        return page

    async def _commit(self) -> list[UnitResult]:
        """Pages that were fetched during a commit share the next one. After a failure nothing more is committed."""
        results: list[UnitResult] = []
        while group := await self._whatever_waits():
            if not self._failed:
                results += await self._committed(group)
            for _ in group:
                self._slots.release()
        return results

    async def _whatever_waits(self) -> list[Page]:
        """All fetched pages, at least one; none at the end of the chain."""
        group: list[Page] = []
        one = await self._fetched.get()
        while one is not None:
            group.append(one)
            if self._fetched.empty():
                return group
            one = self._fetched.get_nowait()
        self._fetched.put_nowait(None)
        return group

    async def _committed(self, group: list[Page]) -> list[UnitResult]:
        try:
            outcomes = await self._lease.pages.commit_in_order(group)
        except REPORTABLE as error:
            self._failed = True
            return [failure_of(error)]
        results = [self._result(page, said) for page, said in zip(group, outcomes, strict=False)]
        self._failed = any(isinstance(result, Failure) for result in results)
        return results

    def _result(self, page: Page, said: PageOutcome | Retryable | Rejected) -> UnitResult:
        if not isinstance(said, PageOutcome):
            return failure_of(said)
        if said.status == "fenced":
            return failure_of(Fenced())
        self._lease.note(page, said)
        return self._lease.pages.done(page, said, self._lease.layout)
