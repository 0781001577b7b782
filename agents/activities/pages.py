"""Pages of one run: fetched, judged, committed. Knows nothing of leases."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec
from msgspec.structs import replace

from agents.activities.changes import FilterIgnored, is_older, is_walked_down, microseconds
from agents.activities.contradictions import contradiction, has_more
from agents.activities.database import Database, Outcomes, Sleep
from agents.activities.layout import Address, Layout, layout_of
from agents.activities.links import fingerprint
from agents.activities.results import Fenced, UnitDone
from agents.core.retry import CONTRADICTION
from agents.failpoints import failpoints
from agents.ledger import Extent
from agents.ports import Clock, Cut, FetchRequest, LedgerLine, PageBody, PageOutcome, PageWrite, Parent, RunRef, Source
from manifests.entity import Adapter, Entity
from topics.errors import Rejected

Front = Callable[[], Extent | None]

_GONE = PageBody((), (), None, 0, 0)


def unknown() -> None:
    """Nothing is known of the page in front."""


class Page(msgspec.Struct, frozen=True):
    """A page that was fetched, under its number in the run."""

    number: int
    body: PageBody
    extent: Extent
    is_last: bool
    parent: str = ""

    def line(self, outcome: PageOutcome) -> LedgerLine | None:
        """As the ledger has it; None where another process has committed it, which may have read other records."""
        if outcome.status != "committed":
            return None
        return LedgerLine(self.parent, self.number, outcome.counts, self.is_last, self.body.next, self.extent)


@dataclass(frozen=True, slots=True)
class Pages:
    """One run of one entity, with the API that its pages come from and the database that they go to.

    `rank`: of requests that wait for the same API, the lower one is sent first. It is the lease's first unit, so that
    neighbours are read soon after each other. `since`: of a delta, whose entity is read by its changes since then
    (manifests.delta).
    """

    run: RunRef
    adapter: Adapter
    entity: Entity
    source: Source
    database: Database
    clock: Clock
    sleep: Sleep
    rank: int
    since: datetime | None = None

    def layout(self, size: int | None = None) -> Layout:
        return layout_of(self.adapter, self.entity, size)

    async def fetch(
        self,
        number: int,
        address: Address,
        layout: Layout,
        parent: Parent | None = None,
        front: Front = unknown,
        cut: Callable[[], Cut] | None = None,
    ) -> Page:
        """The page; an empty one below a parent that is gone. Rejected if it contradicts itself however often it is
        asked for, or the collection does not exist. `front`: of the page before, if that is known by then."""

        def behind_front() -> Cut:
            before = front() if address.overlap else None
            return Cut(address.overlap, before.last if before else None)

        request = FetchRequest(
            self.run.org, self.adapter, self.entity, number, address.start, layout.size, address.link, parent,
            cut or behind_front, self.rank,
        )  # fmt: skip
        attempt = 1
        while True:
            body = await self._fetch(request)
            reason = self._of_filter(body, number) or contradiction(body, address, layout, front())
            if reason is None:
                return self._page(number, body, address, layout, parent)
            if CONTRADICTION.is_exhausted(attempt):
                below = f" under {parent.key}" if parent else ""
                raise Rejected(
                    f"page {number} of {self.entity.name}{below} contradicts itself, {attempt} times: {reason}"
                )
            await self.sleep(CONTRADICTION.wait_seconds(attempt))
            attempt += 1

    async def _fetch(self, request: FetchRequest) -> PageBody:
        body = await self.source.fetch(request)
        if failpoints.armed:
            await failpoints.reach("after_fetch")
        if body is None and request.parent is None:
            raise Rejected(f"{self.entity.path} does not exist")
        return body or _GONE

    def _of_filter(self, body: PageBody, number: int) -> str | None:
        """Why the page is not what was asked for. FilterIgnored on the first one: the API may not know the filter."""
        delta = self.entity.reads.delta
        if self.since is None or delta is None or not delta.is_filtered or not is_older(body, self.since):
            return None
        if number == 1:
            raise FilterIgnored
        return f"it shows a change of {body.oldest}, and was asked for those since {self.since}"

    def _page(self, number: int, body: PageBody, address: Address, layout: Layout, parent: Parent | None) -> Page:
        is_last = not has_more(body, address, layout, self.adapter.file.body)
        is_last = is_last or is_walked_down(body, self.entity.reads.delta, self.since)
        first, last = body.behind or body.first, body.last
        if layout.stable:
            first, last = fingerprint(address.link), None if is_last else fingerprint(body.next)
        asked_at = None if body is _GONE else body.asked_at or body.requested_at
        times = microseconds(asked_at), microseconds(body.newest)
        extent = Extent(address.start, first, last, body.total, *times)
        return Page(number, body, extent, is_last, parent.key if parent else "")

    async def commit(self, page: Page) -> PageOutcome:
        """Fenced, where the run is closed."""
        outcome = await self.database.commit_page(self._write(page))
        if outcome.status == "fenced":
            raise Fenced
        return outcome

    async def commit_in_order(self, pages: Sequence[Page]) -> Outcomes:
        return await self.database.commit(tuple(self._write(page) for page in pages))

    def done(self, page: Page, outcome: PageOutcome, layout: Layout) -> UnitDone:
        """The ledger's line counts: another process may have committed the page, and fetched it at another moment."""
        total = None if page.body.total is None else layout.pages(page.body.total)
        return UnitDone(outcome.counts, outcome.is_last, outcome.next_cursor, total)

    def _write(self, page: Page) -> PageWrite:
        return PageWrite(
            run=self.run,
            entity=self.entity,
            parent=page.parent,
            page=page.number,
            rows=page.body.rows,
            rejected=page.body.rejected,
            is_last=page.is_last,
            next_cursor=page.body.next,
            fetched_at=page.body.requested_at,
            extent=page.extent,
        )


def within(page: Page, after: str | None, before: str | None) -> Page:
    """A page of which only the records behind `after` and not behind `before` were taken: it covers no more."""
    first, last = page.extent.first, page.extent.last
    if before is not None and last is not None:
        last = before if page.is_last else min(last, before)
    first = max(first, after) if first is not None and after is not None else first
    is_last = page.is_last and (before is None or not page.body.records)
    return replace(page, extent=replace(page.extent, first=first, last=last), is_last=is_last)
