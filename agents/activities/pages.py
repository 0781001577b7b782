"""Pages of one run: fetched, judged (is it the last one?), committed. Knows nothing of leases."""

from dataclasses import dataclass

from agents.activities.database import Database, Outcomes
from agents.activities.results import Fenced, UnitDone
from agents.failpoints import failpoints
from agents.ports import Clock, FetchRequest, PageBody, PageOutcome, PageWrite, Parent, RunRef, Source
from manifests.entity import Adapter, Entity
from topics.errors import Rejected

_GONE = PageBody((), (), None, 0, 0)


@dataclass(frozen=True, slots=True)
class Pages:
    """One run of one entity, with the API that its pages come from and the database that they go to."""

    run: RunRef
    adapter: Adapter
    entity: Entity
    source: Source
    database: Database
    clock: Clock

    async def fetch(self, page: int, link: str | None) -> PageBody:
        body = await self._fetch(self._request(page, link, None))
        if body is None:
            raise Rejected(f"{self.entity.path} does not exist")
        return body

    async def fetch_under(self, parent: Parent, page: int, link: str | None) -> PageBody:
        """A page below a parent; an empty one where the parent is gone."""
        return await self._fetch(self._request(page, link, parent)) or _GONE

    async def _fetch(self, request: FetchRequest) -> PageBody | None:
        body = await self.source.fetch(request)
        if failpoints.armed:
            await failpoints.reach("after_fetch")
        return body

    async def commit(self, page: int, body: PageBody, parent: str = "") -> PageOutcome:
        """Fenced, where the run is closed."""
        outcome = await self.database.commit_page(self._write(page, body, parent))
        if outcome.status == "fenced":
            raise Fenced
        return outcome

    async def commit_in_order(self, bodies: list[tuple[int, PageBody]]) -> Outcomes:
        return await self.database.commit(tuple(self._write(page, body, "") for page, body in bodies))

    def done(self, body: PageBody, outcome: PageOutcome) -> UnitDone:
        """The ledger's line counts: another process may have committed the page, and fetched it at another moment."""
        total = None if body.total is None else -(-body.total // self.entity.paging.size)
        return UnitDone(outcome.counts, outcome.is_last, outcome.next_cursor, total)

    def is_last(self, page: int, body: PageBody) -> bool:
        """Whether nothing follows this page. An empty one is the end, whatever it says: `per_page=0` never ends."""
        return body.records == 0 or not self._has_next(page, body)

    def _has_next(self, page: int, body: PageBody) -> bool:
        """A link to a next page; without one, for pages by number, a total beyond this page, or a full page of an API
        that names no next pages at all. One page without its link must not end a collection that has more."""
        if body.next is not None:
            return True
        if self.entity.paging.style == "link":
            return False
        size, names_next = self.entity.paging.size, self.adapter.file.body.next is not None
        return (body.total or 0) > page * size or (not names_next and body.records >= size)

    def _request(self, page: int, link: str | None, parent: Parent | None) -> FetchRequest:
        linked = link if self.entity.paging.style == "link" else None
        return FetchRequest(self.run.org, self.adapter, self.entity, page, linked, parent)

    def _write(self, page: int, body: PageBody, parent: str) -> PageWrite:
        return PageWrite(
            run=self.run,
            entity=self.entity,
            parent=parent,
            page=page,
            rows=body.rows,
            rejected=body.rejected,
            is_last=self.is_last(page, body),
            next_cursor=body.next,
            fetched_at=self.clock.now(),
        )
