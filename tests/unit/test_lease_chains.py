import asyncio
from dataclasses import replace

import pytest

from agents.activities import leases
from agents.activities.chain import COMMITS_AHEAD_MAX
from agents.activities.leases import LeaseReader
from agents.activities.source import FetchRequest
from agents.records.reader import PageBody
from tests.support.adapters import toy
from tests.support.leases import DATA, RUN, Bench
from tests.support.memory import ListSource
from topics.errors import Rejected, Retryable


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
        async def fetch(self, ask: FetchRequest) -> PageBody | None:
            return PageBody((), (), "here", None, 1)

    bench = Bench()
    bench.reader = LeaseReader(Loop({}), bench.database, {"toy": toy()}, bench.clock)
    done = await bench.read("a.log", 3)
    assert (done.units, done.error, done.reason) == (1, "rejected", "page 2 of a.log leads back to one before: a loop")


async def test_an_empty_page_is_the_end_even_if_it_names_a_next_one() -> None:
    class Endless(ListSource):
        async def fetch(self, ask: FetchRequest) -> PageBody | None:
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
        async def fetch(self, ask: FetchRequest) -> PageBody | None:
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
        async def fetch(self, ask: FetchRequest) -> PageBody | None:
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
        async def fetch(self, ask: FetchRequest) -> PageBody | None:
            body = await super().fetch(ask)
            return replace(body, next=None) if body and ask.page == 2 else body

    bench = Bench()
    bench.reader = LeaseReader(
        Forgetful({"a.pet": [f"p{n:02}" for n in range(13)]}), bench.database, {"toy": toy()}, bench.clock
    )
    done = await bench.read("a.pet", 8)
    assert (done.units, done.end, done.records) == (4, True, 13)
