import asyncio
from dataclasses import replace
from typing import Any

import pytest

from agents.activities import leases
from agents.activities.chain import COMMITS_AHEAD_MAX
from agents.activities.database import Database
from agents.activities.leases import LEASE_SECONDS_MAX, UNITS_IN_FLIGHT_MAX, LeaseReader
from agents.activities.source import PageAsk
from agents.local import MovableClock
from agents.ports import ClosedRun, LeaseAsk, LeaseGrant, PageOutcome, PageWrite, RowWrite, RunEnd, RunRef
from agents.records import PageBody
from tests.support.adapters import toy
from tests.support.memory import ListSource, MemorySink
from topics.commands import FetchPages, PageDone, Totals
from topics.errors import Rejected, Retryable, SluiceError

RUN = 7
DATA = {
    "a.house": ["h1", "h2", "h3"],  # one page
    "a.pet": [f"p{n:02}" for n in range(22)],  # six pages of four
    "a.log": [f"l{n:02}" for n in range(40)],  # ten
    "a.room/h1": [f"h1-{n}" for n in range(5)],  # two
    "a.room/h2": ["h2-0"],
}


class Sink(MemorySink):
    """Commits wait for `may_commit`; `trouble` is raised for the page that it names. It may be away for `finish`."""

    def __init__(self) -> None:
        super().__init__()
        self.may_commit = asyncio.Event()
        self.may_commit.set()
        self.trouble: dict[int, SluiceError] = {}
        self.committing: list[int] = []
        self.closes_runs = True

    async def commit(self, pages: Any) -> list[PageOutcome]:
        self.committing += [page.page for page in pages]
        await self.may_commit.wait()
        for page in pages:
            if page.page in self.trouble:
                raise self.trouble[page.page]
        return list(await super().commit(pages))

    async def finish(self, ends: Any) -> list[ClosedRun]:
        if not self.closes_runs:
            raise Retryable("away")
        return list(await super().finish(ends))


class Bench:
    """A lease reader over a source of lists and a sink in memory."""

    def __init__(self) -> None:
        self.clock = MovableClock()
        self.source = ListSource(DATA)
        self.sink = Sink()
        self.database = Database(self.sink, self.clock.sleep)
        self.reader = LeaseReader(self.source, self.database, {"toy": toy()}, self.clock)

    async def read(
        self,
        entity: str,
        units: int,
        first: int = 1,
        cursor: str | None = None,
        run: int = RUN,
        closes: bool = False,
    ) -> PageDone:
        return await self.reader.read(
            FetchPages(
                workflow=f"entity-sync:acme:toy:{entity}:full", run=run, org="acme", adapter="toy", entity=entity,
                type="full", lease=1, first=first, units=units, cursor=cursor, closes=closes,
            )
        )  # fmt: skip

    async def commit(self, entity: str, page: int, keys: list[str], parent: str = "", **more: Any) -> None:
        """A page that is in the ledger already."""
        written = self.write(entity, page, keys, parent, **more)
        await self.sink.grant([LeaseAsk(written.run, 1, 1)])
        await self.sink.commit([written])

    def write(self, entity: str, page: int, keys: list[str], parent: str = "", **more: Any) -> PageWrite:
        ref = RunRef(f"entity-sync:acme:toy:{entity}:full", RUN, "acme", "toy", entity, "full")
        rows = tuple(RowWrite(key, (), "{}", b"", None) for key in keys)
        told: dict[str, Any] = {"is_last": False, "next_cursor": None, "fetched_at": self.clock.now(), **more}
        return PageWrite(ref, toy().entities[entity], parent, page, rows, (), **told)

    def add_parents(self, *keys: str) -> None:
        self.sink.rows["a.house"] = {("acme", key): RowWrite(key, (), "{}", b"", None) for key in keys}

    @property
    def pages(self) -> list[int]:
        return sorted(page for _, _, page in self.source.served)


async def test_a_lease_is_read_committed_and_told() -> None:
    bench = Bench()
    done = await bench.read("a.pet", 3)
    assert (done.units, done.pages, done.records, done.end, done.total_units) == (3, 3, 12, False, 6)
    assert bench.pages == [1, 2, 3]


async def test_a_lease_over_the_end_tells_the_end() -> None:
    done = await Bench().read("a.pet", 4, first=5)
    assert (done.units, done.records, done.end) == (2, 6, True)


@pytest.mark.parametrize(("entity", "pages", "records"), [("a.pet", 6, 22), ("a.log", 10, 40)])
async def test_a_lease_that_reaches_the_end_alone_closes_the_run(entity: str, pages: int, records: int) -> None:
    bench = Bench()
    done = await bench.read(entity, 32, closes=True)
    assert (done.end, done.closed) == (True, Totals(pages=pages, records=records, rejected=0))
    assert [run.state for run in bench.sink.runs.values()] == ["done"]


async def test_a_lease_that_does_not_reach_the_end_leaves_the_run_open() -> None:
    bench = Bench()
    assert (await bench.read("a.pet", 3, closes=True)).closed is None
    assert [run.state for run in bench.sink.runs.values()] == ["open"]


async def test_a_lease_of_a_run_that_is_complete_tells_its_sums_and_fetches_nothing() -> None:
    bench = Bench()
    await bench.read("a.pet", 32, closes=True)
    bench.source.served.clear()
    again = await bench.read("a.pet", 32, closes=True)
    assert (again.error, again.closed, bench.pages) == (None, Totals(pages=6, records=22, rejected=0), [])


async def test_a_run_that_was_cancelled_meanwhile_is_fenced_without_sums() -> None:
    bench = Bench()
    ref = RunRef("entity-sync:acme:toy:a.pet:full", RUN, "acme", "toy", "a.pet", "full")
    await bench.sink.finish([RunEnd(ref, "cancelled")])
    done = await bench.read("a.pet", 32, closes=True)
    assert (done.error, done.closed) == ("fenced", None)


async def test_a_run_that_cannot_be_closed_now_is_left_to_the_decider() -> None:
    bench = Bench()
    bench.sink.closes_runs = False
    done = await bench.read("a.pet", 32, closes=True)
    assert (done.end, done.units, done.error, done.closed) == (True, 6, None, None)


@pytest.mark.parametrize(("entity", "pages"), [("a.house", 1), ("a.log", 10)])
async def test_a_run_whose_pages_come_one_by_one_is_closed_by_the_last_of_them(entity: str, pages: int) -> None:
    bench = Bench()
    bench.sink.closes_runs = False
    done = await bench.read(entity, 32, closes=True)
    assert done.closed is not None
    assert done.closed.pages == pages


async def test_a_page_that_another_process_has_committed_meanwhile_is_told_as_the_ledger_has_it() -> None:
    bench = Bench()
    bench.source.data = {"a.log": ["1", "2", "3"]}
    bench.sink.may_commit.clear()
    late = asyncio.create_task(bench.read("a.log", 8, closes=True))
    while not bench.sink.committing:
        await asyncio.sleep(0)
    longer = bench.write("a.log", 1, ["new", "1", "2", "3"], next_cursor="page-2")
    await MemorySink.commit(bench.sink, [longer])
    bench.sink.may_commit.set()
    done = await late
    assert (done.units, done.records, done.end, done.next_cursor, done.closed) == (1, 4, False, "page-2", None)
    assert [run.state for run in bench.sink.runs.values()] == ["open"]


async def test_a_fenced_lease_that_cannot_learn_whether_its_run_is_complete_asks_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench()
    answers = iter([[LeaseGrant(True)]])

    async def answer_once(asks: Any) -> list[LeaseGrant]:
        for answer in answers:
            return answer
        raise Rejected("no rights any more")

    monkeypatch.setattr(bench.sink, "grant", answer_once)
    bench.reader = LeaseReader(bench.source, Database(bench.sink, bench.clock.sleep), {"toy": toy()}, bench.clock)
    done = await bench.read("a.log", 1)
    assert (done.error, done.closed) == ("retryable", None)


async def test_a_lease_whose_run_a_crash_of_the_database_took_back_asks_again() -> None:
    bench = Bench()
    bench.source.on_fetch = lambda ask: bench.sink.runs.clear()
    done = await bench.read("a.log", 1)
    assert (done.error, done.reason) == ("retryable", "the database had lost the run's opening")
    bench.source.on_fetch = lambda ask: None
    assert (await bench.read("a.log", 1)).units == 1


@pytest.mark.parametrize("entity", ["a.pet", "a.log"])
async def test_two_leases_that_overlap_ask_for_each_page_once(entity: str) -> None:
    bench = Bench()
    first, second = await asyncio.gather(bench.read(entity, 4), bench.read(entity, 8))
    assert first.units == 4 < second.units
    assert bench.pages == list(range(1, second.units + 1))


async def test_leases_that_do_not_overlap_run_side_by_side() -> None:
    bench = Bench()
    bench.sink.may_commit.clear()
    both = [asyncio.create_task(bench.read("a.pet", 2, first=first)) for first in (1, 3)]
    while not {1, 3} <= set(bench.sink.committing):
        await asyncio.sleep(0)
    bench.sink.may_commit.set()
    assert [done.units for done in await asyncio.gather(*both)] == [2, 2]


async def test_a_lease_that_is_let_go_holds_up_nobody() -> None:
    bench = Bench()
    bench.sink.may_commit.clear()
    held = asyncio.create_task(bench.read("a.pet", 2))
    while not bench.sink.committing:
        await asyncio.sleep(0)
    waiting = asyncio.create_task(bench.read("a.pet", 2))
    await asyncio.sleep(0)
    held.cancel()
    bench.sink.may_commit.set()
    assert (await waiting).units == 2


async def test_pages_in_the_ledger_are_told_and_not_fetched() -> None:
    bench = Bench()
    await bench.commit("a.pet", 2, ["p04", "p05", "p06", "p07"])
    done = await bench.read("a.pet", 3)
    assert (done.units, done.records, bench.pages) == (3, 12, [1, 3])


async def test_a_lease_read_twice_is_told_twice_and_fetched_once() -> None:
    bench = Bench()
    first, second = await bench.read("a.pet", 3, first=2), await bench.read("a.pet", 3, first=2)
    assert (first.units, first.records) == (second.units, second.records)
    assert bench.pages == [2, 3, 4]


async def test_a_lease_reads_several_pages_at_once_but_not_all() -> None:
    bench = Bench()
    most = now = 0

    class Slow(ListSource):
        async def fetch(self, ask: PageAsk) -> PageBody | None:
            nonlocal most, now
            now += 1
            most = max(most, now)
            await asyncio.sleep(0)
            now -= 1
            return await super().fetch(ask)

    source = Slow({"a.pet": [str(n) for n in range(400)]})
    bench.reader = LeaseReader(source, bench.database, {"toy": toy()}, bench.clock)
    await bench.read("a.pet", 50)
    assert 1 < most <= UNITS_IN_FLIGHT_MAX


@pytest.mark.parametrize("entity", ["a.pet", "a.log"])
async def test_time_that_is_up_ends_a_lease_after_at_least_one_unit(entity: str) -> None:
    bench = Bench()
    bench.source.data = {entity: [str(n) for n in range(400)]}
    bench.source.on_fetch = lambda ask: bench.clock.advance(LEASE_SECONDS_MAX)
    done = await bench.read(entity, 20)
    assert 1 <= done.units <= UNITS_IN_FLIGHT_MAX
    assert (done.units, done.end, done.error) == (len(bench.pages), False, None)
    assert done.elapsed_ms >= 1_000 * LEASE_SECONDS_MAX


async def test_of_a_lease_that_fails_in_the_middle_what_has_no_gap_before_it_is_told() -> None:
    bench = Bench()
    bench.source.trouble = lambda ask: Retryable("503", 9) if ask.page == 3 else None
    done = await bench.read("a.pet", 5)
    assert (done.units, done.records, done.error, done.reason, done.after_seconds) == (2, 8, "retryable", "503", 9)


async def test_a_page_behind_a_gap_is_not_fetched_again_when_the_gap_is_closed() -> None:
    bench = Bench()
    bench.source.trouble = lambda ask: Retryable("503") if ask.page == 3 else None
    await bench.read("a.pet", 5)
    bench.source.trouble = None
    done = await bench.read("a.pet", 3, first=3)
    assert (done.units, bench.pages) == (3, [1, 2, 3, 4, 5])


async def test_a_commit_that_is_refused_is_told_with_its_reason() -> None:
    bench = Bench()
    bench.sink.trouble = {1: Rejected("no such table")}
    done = await bench.read("a.pet", 1)
    assert (done.units, done.error, done.reason) == (0, "rejected", "no such table")


async def test_a_closed_run_is_told_as_fenced_and_nothing_is_fetched() -> None:
    bench = Bench()
    await bench.read("a.pet", 1, run=RUN + 1)
    bench.source.served.clear()
    done = await bench.read("a.pet", 3)
    assert (done.error, done.units, bench.pages) == ("fenced", 0, [])


async def test_a_run_that_is_closed_on_the_way_is_told_as_fenced() -> None:
    bench = Bench()

    def close(ask: PageAsk) -> None:
        for run in bench.sink.runs.values():
            run.state = "cancelled"

    bench.source.on_fetch = close
    assert (await bench.read("a.log", 3)).error == "fenced"
    assert bench.sink.rows == {}


async def test_an_entity_that_is_not_known_here_is_refused() -> None:
    done = await Bench().read("a.ghost", 1)
    assert (done.error, done.reason) == ("rejected", "toy has no entity 'a.ghost' here")


async def test_a_collection_that_is_not_there_is_refused() -> None:
    class Gone(ListSource):
        async def fetch(self, ask: PageAsk) -> PageBody | None:
            return None

    bench = Bench()
    bench.reader = LeaseReader(Gone({}), bench.database, {"toy": toy()}, bench.clock)
    done = await bench.read("a.pet", 1)
    assert (done.error, done.reason) == ("rejected", "/a/pet does not exist")


async def test_a_chain_follows_its_links_and_tells_where_to_go_on() -> None:
    bench = Bench()
    links: list[str | None] = []
    bench.source.on_fetch = lambda ask: links.append(ask.link)
    done = await bench.read("a.log", 3)
    assert (links, done.next_cursor, done.units) == ([None, "page-2", "page-3"], "page-4", 3)


async def test_a_chain_goes_on_from_the_link_in_the_ledger() -> None:
    bench = Bench()
    await bench.commit("a.log", 1, ["l00"], next_cursor="from-the-ledger")
    links: list[str | None] = []
    bench.source.on_fetch = lambda ask: links.append(ask.link)
    await bench.read("a.log", 2)
    assert links == ["from-the-ledger"]


async def test_a_chain_whose_end_is_in_the_ledger_fetches_nothing() -> None:
    bench = Bench()
    await bench.commit("a.log", 1, ["l00"], is_last=True)
    done = await bench.read("a.log", 4)
    assert (done.end, done.units, bench.pages) == (True, 1, [])


async def test_a_chain_runs_ahead_of_its_commits_only_so_far() -> None:
    bench = Bench()
    bench.sink.may_commit.clear()
    task = asyncio.create_task(bench.read("a.log", 9))
    for _ in range(100):
        await asyncio.sleep(0)
    assert bench.pages == list(range(1, COMMITS_AHEAD_MAX + 1))
    bench.sink.may_commit.set()
    assert (await task).units == 9


async def test_of_a_chain_whose_commit_fails_what_was_committed_before_it_is_told() -> None:
    bench = Bench()
    bench.sink.trouble = {2: Rejected("no such column")}
    done = await bench.read("a.log", 9)
    assert (done.units, done.error, done.next_cursor) == (1, "rejected", "page-2")
    assert max(bench.pages) <= 2 + COMMITS_AHEAD_MAX


async def test_of_a_chain_whose_fetch_fails_what_was_committed_before_it_is_told() -> None:
    bench = Bench()
    bench.source.trouble = lambda ask: Retryable("503") if ask.page == 3 else None
    done = await bench.read("a.log", 9)
    assert (done.units, done.error, done.next_cursor) == (2, "retryable", "page-3")


async def test_a_page_that_names_itself_as_the_next_one_is_refused() -> None:
    class Loop(ListSource):
        async def fetch(self, ask: PageAsk) -> PageBody | None:
            return PageBody((), (), "here", None, 1)

    bench = Bench()
    bench.reader = LeaseReader(Loop({}), bench.database, {"toy": toy()}, bench.clock)
    done = await bench.read("a.log", 3)
    assert (done.units, done.error, done.reason) == (1, "rejected", "page 2 of a.log leads back to one before: a loop")


async def test_an_empty_page_is_the_end_even_if_it_names_a_next_one() -> None:
    class Endless(ListSource):
        async def fetch(self, ask: PageAsk) -> PageBody | None:
            return PageBody((), (), f"page-{ask.page + 1}", None, 0)

    bench = Bench()
    bench.reader = LeaseReader(Endless({}), bench.database, {"toy": toy()}, bench.clock)
    done = await bench.read("a.log", 3)
    assert (done.units, done.end) == (1, True)


async def test_every_page_under_each_parent_is_read() -> None:
    bench = Bench()
    bench.add_parents("h1", "h2")
    done = await bench.read("a.room", 5)
    assert (done.units, done.pages, done.records, done.end, done.total_units) == (2, 3, 6, True, 2)
    assert sorted(bench.source.served) == [
        ("a.room/h1", "acme", 1),
        ("a.room/h1", "acme", 2),
        ("a.room/h2", "acme", 1),
    ]


async def test_a_lease_of_some_parents_tells_the_last_ones_key_as_its_cursor() -> None:
    bench = Bench()
    bench.add_parents("h1", "h2", "h3")
    done = await bench.read("a.room", 2)
    assert (done.units, done.end, done.next_cursor) == (2, False, "h2")
    rest = await bench.read("a.room", 2, first=3, cursor="h2")
    assert (rest.units, rest.end, rest.total_units) == (1, True, None)


async def test_no_parents_are_no_units_and_the_end() -> None:
    done = await Bench().read("a.room", 5)
    assert (done.units, done.pages, done.end, done.total_units) == (0, 0, True, 0)


async def test_a_parent_that_is_gone_is_an_empty_page() -> None:
    class Gone(ListSource):
        async def fetch(self, ask: PageAsk) -> PageBody | None:
            assert ask.parent is not None
            return None if ask.parent.key == "h1" else await super().fetch(ask)

    bench = Bench()
    bench.add_parents("h1", "h2")
    bench.reader = LeaseReader(Gone(DATA), bench.database, {"toy": toy()}, bench.clock)
    done = await bench.read("a.room", 5)
    assert (done.units, done.pages, done.records, done.error) == (2, 2, 1, None)


async def test_pages_under_a_parent_that_the_ledger_holds_are_not_fetched() -> None:
    bench = Bench()
    bench.add_parents("h1")
    await bench.commit("a.room", 1, ["h1-0", "h1-1", "h1-2", "h1-3"], parent="h1")
    done = await bench.read("a.room", 5)
    assert (done.pages, done.records, bench.pages) == (2, 5, [2])


async def test_a_parent_whose_paging_never_ends_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "PAGES_PER_PARENT_MAX", 20)

    class Endless(ListSource):
        async def fetch(self, ask: PageAsk) -> PageBody | None:
            return PageBody((), (), "more", None, 1)

    bench = Bench()
    bench.add_parents("h1")
    bench.reader = LeaseReader(Endless({}), bench.database, {"toy": toy()}, bench.clock)
    done = await bench.read("a.room", 1)
    assert (done.error, done.reason) == ("rejected", "parent h1 has more than 20 pages: is its paging a loop?")


async def test_a_closed_run_reads_no_parents() -> None:
    bench = Bench()
    bench.add_parents("h1")
    await bench.read("a.room", 1, run=RUN + 1)
    bench.source.served.clear()
    done = await bench.read("a.room", 1)
    assert (done.error, bench.pages) == ("fenced", [])


async def test_of_a_chain_no_page_is_committed_before_the_one_in_front_of_it() -> None:
    bench = Bench()
    bench.sink.trouble[2] = Retryable("the database is away")
    done = await bench.read("a.log", 4)
    assert done.error == "retryable"
    assert {page for run in bench.sink.runs.values() for _, page in run.lines} <= {1}


async def test_a_page_that_forgets_its_link_does_not_end_what_its_total_says_goes_on() -> None:
    class Forgetful(ListSource):
        async def fetch(self, ask: PageAsk) -> PageBody | None:
            body = await super().fetch(ask)
            return replace(body, next=None) if body and ask.page == 2 else body

    bench = Bench()
    bench.reader = LeaseReader(
        Forgetful({"a.pet": [f"p{n:02}" for n in range(13)]}), bench.database, {"toy": toy()}, bench.clock
    )
    done = await bench.read("a.pet", 8)
    assert (done.units, done.end, done.records) == (4, True, 13)
