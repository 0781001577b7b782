"""The pages of one run: asked for, judged (is it the last one?), committed. Nothing here knows of leases."""

from dataclasses import dataclass

from agents.activities.database import Database, Outcomes
from agents.activities.source import FetchRequest, Source
from agents.activities.units import Fenced, UnitDone
from agents.failpoints import failpoints
from agents.ports import Clock, PageOutcome, PageWrite, Parent, RunRef
from agents.records.reader import PageBody
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
        body = await self._fetch(self._ask(page, link, None))
        if body is None:
            raise Rejected(f"{self.entity.path} does not exist")
        return body

    async def fetch_under(self, parent: Parent, page: int, link: str | None) -> PageBody:
        """A page below a parent; an empty one where the parent is gone."""
        return await self._fetch(self._ask(page, link, parent)) or _GONE

    async def _fetch(self, ask: FetchRequest) -> PageBody | None:
        body = await self.source.fetch(ask)
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

    def done(self, body: PageBody, said: PageOutcome) -> UnitDone:
        """What the ledger says of the page: somebody else may have committed it, and read it at another moment."""
        total = None if body.total is None else -(-body.total // self.entity.paging.size)
        return UnitDone(1, said.records, said.rejected, said.is_last, said.next_cursor, total)

    def ends(self, page: int, body: PageBody) -> bool:
        """Nothing follows this page. An empty one is the end, whatever it says: `per_page=0` would go on for ever."""
        return body.records == 0 or not self._says_that_more_follow(page, body)

    def _says_that_more_follow(self, page: int, body: PageBody) -> bool:
        """A link to a next page; without one, for pages by number, a total that goes on, or a full page of an API that
        names no next pages at all. One page that forgets its link must not end what others know to go on."""
        if body.next is not None:
            return True
        if self.entity.paging.style == "link":
            return False
        size, names_next = self.entity.paging.size, self.adapter.file.body.next is not None
        return (body.total or 0) > page * size or (not names_next and body.records >= size)

    def _ask(self, page: int, link: str | None, parent: Parent | None) -> FetchRequest:
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
            is_last=self.ends(page, body),
            next_cursor=body.next,
            fetched_at=self.clock.now(),
        )
