"""A lease reader over a source of lists and a sink in memory, both of which can be made to wait or to fail."""

import asyncio
from collections.abc import Callable
from typing import Any

from agents.activities.database import Database
from agents.activities.fetch import LeaseReader
from agents.ledger import Proof
from agents.ports import ClosedRun, FetchRequest, LeaseRequest, PageBody, PageOutcome, PageWrite, RowWrite, RunRef
from tests.engine.clock import MovableClock
from tests.support.adapters import toy
from tests.support.memory import ListSource, MemorySink, Run
from topics.errors import Retryable, SluiceError
from topics.kinds.entity import FetchPages, PageDone

RUN = 7
PROVEN = Proof(True, "one page is the whole collection", 1)
DATA = {
    "a.house": ["h1", "h2", "h3"],  # one page
    "a.pet": [f"p{n:02}" for n in range(22)],  # six pages of four
    "a.log": [f"l{n:02}" for n in range(40)],  # ten
    "a.room/h1": [f"h1-{n}" for n in range(5)],  # two
    "a.room/h2": ["h2-0"],
}


class Sink(MemorySink):
    """Commits wait for `may_commit`; `trouble` is raised for the page that it names. `close_runs` may fail, too."""

    def __init__(self) -> None:
        super().__init__()
        self.may_commit = asyncio.Event()
        self.may_commit.set()
        self.trouble: dict[int, SluiceError] = {}
        self.committing: list[int] = []
        self.closes_runs = True
        self.before_closing: Callable[[], object] = lambda: None

    async def commit(self, pages: Any) -> list[PageOutcome]:
        self.committing += [page.page for page in pages]
        await self.may_commit.wait()
        for page in pages:
            if page.page in self.trouble:
                raise self.trouble[page.page]
        return list(await super().commit(pages))

    async def close_runs(self, ends: Any) -> list[ClosedRun | None]:
        if not self.closes_runs:
            raise Retryable("away")
        self.before_closing()
        return list(await super().close_runs(ends))


class Source(ListSource):
    """Answers with what `change` makes of the page that the lists hold."""

    def __init__(self, change: Callable[[FetchRequest, PageBody], PageBody | None]) -> None:
        super().__init__({name: list(keys) for name, keys in DATA.items()})
        self._change = change

    async def fetch(self, request: FetchRequest) -> PageBody | None:
        body = await super().fetch(request)
        assert body is not None
        return self._change(request, body)


class LeaseBench:
    """A lease reader over a source of lists and a sink in memory."""

    def __init__(
        self,
        change: Callable[[FetchRequest, PageBody], PageBody | None] = lambda request, body: body,
        is_ordered: bool = False,
    ) -> None:
        self.adapter = toy(is_ordered)
        self.clock = MovableClock()
        self.source = Source(change)
        self.sink = Sink()
        self.database = Database(self.sink, self.clock.sleep)
        self.reader = LeaseReader(self.source, self.database, {"toy": self.adapter}, self.clock, self.clock.sleep)

    async def read(self, entity: str, units: int, first: int = 1, **more: Any) -> PageDone:
        asked: dict[str, Any] = {"run": RUN, "lease": 1, "first": first, "units": units, **more}
        return await self.reader.read(
            FetchPages(
                workflow=f"entity-sync:acme:toy:{entity}:full", org="acme", adapter="toy", entity=entity, type="full",
                **asked,
            )
        )  # fmt: skip

    async def commit(self, entity: str, page: int, keys: list[str], parent: str = "", **more: Any) -> None:
        """A page that is in the ledger already."""
        written = self.write(entity, page, keys, parent, **more)
        await self.sink.open_leases([LeaseRequest(written.run, 1, 1)])
        await self.sink.commit([written])

    def write(self, entity: str, page: int, keys: list[str], parent: str = "", **more: Any) -> PageWrite:
        ref = RunRef(f"entity-sync:acme:toy:{entity}:full", RUN, "acme", "toy", entity, "full")
        rows = tuple(RowWrite(key, (), "{}", b"", None) for key in keys)
        given: dict[str, Any] = {"is_last": False, "next_cursor": None, "fetched_at": self.clock.now(), **more}
        return PageWrite(ref, self.adapter.entities[entity], parent, page, rows, (), **given)

    def add_parents(self, *keys: str, proof: Proof | None = PROVEN) -> None:
        """Rows of a run that is complete; without a proof one that is not done yet."""
        ref = RunRef("entity-sync:acme:toy:a.house:full", RUN, "acme", "toy", "a.house", "full")
        self.sink.runs[ref.id] = Run(ref, "done" if proof else "open", proof=proof)
        self.sink.rows["a.house"] = {("acme", key): RowWrite(key, (), "{}", b"", None) for key in keys}

    @property
    def run_states(self) -> list[str]:
        return [run.state for run in self.sink.runs.values()]

    @property
    def pages(self) -> list[int]:
        return sorted(page for _, _, page in self.source.served)
