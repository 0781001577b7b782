import asyncio

import pytest
from msgspec.structs import replace

from agents import concurrency
from agents.activities import chain
from agents.ports import PageBody
from tests.support.leases import LeaseBench
from topics.command import Counts
from topics.errors import Rejected, Retryable, SluiceError
from topics.ids import derive_id


async def test_a_chain_follows_its_links_and_reports_where_it_continues() -> None:
    bench = LeaseBench()
    links: list[str | None] = []
    bench.source.on_fetch = lambda request: links.append(request.link)
    done = await bench.read("a.log", 3)
    assert (links, done.next_cursor, done.units) == ([None, "?offset=4", "?offset=8"], "?offset=12", 3)


async def test_a_chain_continues_from_the_link_in_the_ledger() -> None:
    bench = LeaseBench()
    await bench.commit("a.log", 1, ["l00"], next_cursor="from-the-ledger")
    links: list[str | None] = []
    bench.source.on_fetch = lambda request: links.append(request.link)
    await bench.read("a.log", 2)
    assert links == ["from-the-ledger"]


async def test_a_chain_whose_end_is_in_the_ledger_fetches_nothing() -> None:
    bench = LeaseBench()
    await bench.commit("a.log", 1, ["l00"], is_last=True)
    done = await bench.read("a.log", 4)
    assert (done.end, done.units, bench.pages) == (True, 1, [])


async def test_the_pages_of_a_chain_that_wait_for_their_commit_have_a_maximum() -> None:
    bench = LeaseBench()
    bench.sink.may_commit.clear()
    task = asyncio.create_task(bench.read("a.log", 9))
    for _ in range(100):
        await asyncio.sleep(0)
    assert bench.pages == list(range(1, concurrency.COMMITS_AHEAD + 1))
    bench.sink.may_commit.set()
    assert (await task).units == 9


@pytest.mark.parametrize(
    ("error", "kind", "committed"),
    [(Rejected("no such column"), "rejected", [1]), (Retryable("away"), "retryable", [])],
    ids=["rejected", "retryable_with_the_page_before_it_in_the_same_transaction"],
)
async def test_after_a_failed_commit_of_a_chain_nothing_more_is_committed_and_what_stands_before_it_is_reported(
    error: SluiceError, kind: str, committed: list[int]
) -> None:
    bench = LeaseBench()
    bench.sink.trouble = {2: error}
    done = await bench.read("a.log", 9)
    assert (done.units, done.error, done.next_cursor) == (len(committed), kind, "?offset=4" if committed else None)
    assert [page for run in bench.sink.runs.values() for _, page in run.lines] == committed
    assert max(bench.pages) <= 2 + concurrency.COMMITS_AHEAD


async def test_after_a_failed_fetch_of_a_chain_what_stands_before_it_is_reported() -> None:
    bench = LeaseBench()
    bench.source.trouble = lambda request: Retryable("503") if request.page == 3 else None
    done = await bench.read("a.log", 9)
    assert (done.units, done.error, done.next_cursor) == (2, "retryable", "?offset=8")


async def test_a_page_that_names_itself_as_the_next_one_is_rejected() -> None:
    done = await LeaseBench(lambda request, body: PageBody((), (), "here", None, 1)).read("a.log", 3)
    assert (done.units, done.error, done.reason) == (1, "rejected", "page 2 of a.log leads back to one before: a loop")


async def test_an_empty_page_that_names_a_next_one_is_not_the_end() -> None:
    bench = LeaseBench(lambda request, body: replace(body, rows=(), records=0) if request.page in (2, 3) else body)
    done = await bench.read("a.log", 20)
    assert (done.units, done.records, done.end) == (10, 32, True)


async def test_empty_pages_in_a_row_have_a_maximum(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain, "EMPTY_PAGES_MAX", 5)
    done = await LeaseBench(lambda request, body: PageBody((), (), f"{request.page + 1}", None, 0)).read("a.log", 20)
    assert (done.units, done.error) == (5, "rejected")
    assert done.reason == "6 pages up to 6 have no records, and name a next page each time"


async def test_a_link_that_was_followed_some_leases_ago_is_a_cycle() -> None:
    bench = LeaseBench(lambda request, body: replace(body, next="early") if request.page == 3 else body)
    done = await bench.read("a.log", 5, landmark=derive_id("early"))
    assert (done.units, done.error, done.reason) == (2, "rejected", "page 3 of a.log leads back to one before: a loop")


async def test_pages_that_are_read_again_may_lead_past_a_link_that_was_followed_some_leases_ago() -> None:
    done = await LeaseBench().read("a.log", 1, first=11, closing=True, landmark=derive_id("?offset=8"))
    assert (done.error, done.pages, done.closed) == (None, 10, Counts(10, 40))
