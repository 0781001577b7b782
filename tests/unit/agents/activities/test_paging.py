"""Pages by their numbers, and pages under each of many parents."""

import asyncio

import pytest
from msgspec.structs import replace

from agents import concurrency
from agents.activities import paging
from agents.activities.fetch import LeaseReader
from agents.activities.lease import LEASE_SECONDS_MAX
from agents.ports import FetchRequest, PageBody
from tests.support.adapters import toy
from tests.support.leases import LeaseBench
from tests.support.memory import ListSource
from topics.errors import Rejected, Retryable


async def test_a_lease_is_read_committed_and_reported_and_one_over_the_end_reports_the_end() -> None:
    bench = LeaseBench()
    done = await bench.read("a.pet", 3)
    assert (done.units, done.pages, done.records, done.end, done.total_units) == (3, 3, 12, False, 6)
    assert bench.pages == [1, 2, 3]
    done = await bench.read("a.pet", 4, first=5)
    assert (done.units, done.records, done.end) == (2, 6, True)


async def test_pages_in_the_ledger_are_reported_and_not_fetched() -> None:
    bench = LeaseBench()
    await bench.commit("a.pet", 2, ["p04", "p05", "p06", "p07"])
    done = await bench.read("a.pet", 3)
    assert (done.units, done.records, bench.pages) == (3, 12, [1, 3])


async def test_a_lease_reads_several_pages_at_once_but_not_all() -> None:
    bench = LeaseBench()
    most = now = 0

    class Slow(ListSource):
        async def fetch(self, request: FetchRequest) -> PageBody | None:
            nonlocal most, now
            now += 1
            most = max(most, now)
            await asyncio.sleep(0)
            now -= 1
            return await super().fetch(request)

    source = Slow({"a.pet": [str(n) for n in range(400)]})
    bench.reader = LeaseReader(source, bench.database, {"toy": toy()}, bench.clock, bench.clock.sleep)
    await bench.read("a.pet", 50)
    assert 1 < most <= concurrency.UNITS_PER_LEASE


@pytest.mark.parametrize("entity", ["a.pet", "a.log"])
async def test_time_that_is_up_ends_a_lease_after_at_least_one_unit(entity: str) -> None:
    bench = LeaseBench()
    bench.source.data = {entity: [str(n) for n in range(400)]}
    bench.source.on_fetch = lambda request: bench.clock.advance(LEASE_SECONDS_MAX)
    done = await bench.read(entity, 20)
    assert 1 <= done.units <= concurrency.UNITS_PER_LEASE
    assert (done.units, done.end, done.error) == (len(bench.pages), False, None)
    assert done.elapsed_ms >= 1_000 * LEASE_SECONDS_MAX


async def test_a_lease_that_fails_in_the_middle_reports_what_has_no_gap_and_fetches_the_rest_once() -> None:
    bench = LeaseBench()
    bench.source.trouble = lambda request: Retryable("503", 9) if request.page == 3 else None
    done = await bench.read("a.pet", 5)
    assert (done.units, done.records, done.error, done.reason, done.after_seconds) == (2, 8, "retryable", "503", 9)
    bench.source.trouble = None
    done = await bench.read("a.pet", 3, first=3)
    assert (done.units, bench.pages) == (3, [1, 2, 3, 4, 5])


async def test_what_cannot_be_read_or_committed_is_rejected_with_the_reason() -> None:
    bench = LeaseBench(lambda request, body: body if request.entity.name == "a.pet" else None)
    bench.sink.trouble = {1: Rejected("no such table")}
    reasons = {
        "a.pet": "no such table",
        "a.house": "/a/house does not exist",
        "a.ghost": "toy has no entity 'a.ghost' here",
    }
    for entity, reason in reasons.items():
        done = await bench.read(entity, 1)
        assert (done.units, done.error, done.reason) == (0, "rejected", reason)


async def test_a_page_without_its_link_does_not_end_what_its_total_says_continues() -> None:
    bench = LeaseBench(lambda request, body: replace(body, next=None) if request.page == 2 else body)
    bench.source.data = {"a.pet": [f"p{n:02}" for n in range(13)]}
    done = await bench.read("a.pet", 8)
    assert (done.units, done.end, done.records) == (4, True, 13)


async def test_every_page_under_each_parent_is_read() -> None:
    bench = LeaseBench()
    bench.add_parents("h1", "h2")
    done = await bench.read("a.room", 5)
    assert (done.units, done.pages, done.records, done.end, done.total_units) == (2, 3, 6, True, 2)
    served = sorted((name, page) for name, _, page in bench.source.served)
    assert served == [("a.room/h1", 1), ("a.room/h1", 2), ("a.room/h2", 1)]


async def test_a_lease_of_some_parents_reports_the_last_ones_key_as_its_cursor() -> None:
    bench = LeaseBench()
    bench.add_parents("h1", "h2", "h3")
    done = await bench.read("a.room", 2)
    assert (done.units, done.end, done.next_cursor) == (2, False, "h2")
    rest = await bench.read("a.room", 2, first=3, cursor="h2")
    assert (rest.units, rest.end, rest.total_units) == (1, True, None)


async def test_no_parents_are_no_units_and_the_end() -> None:
    done = await LeaseBench().read("a.room", 5)
    assert (done.units, done.pages, done.end, done.total_units) == (0, 0, True, 0)


async def test_a_parent_that_is_gone_is_an_empty_page() -> None:
    bench = LeaseBench(lambda request, body: None if request.parent and request.parent.key == "h1" else body)
    bench.add_parents("h1", "h2")
    done = await bench.read("a.room", 5)
    assert (done.units, done.pages, done.records, done.error) == (2, 2, 1, None)


async def test_pages_under_a_parent_that_the_ledger_holds_are_not_fetched() -> None:
    bench = LeaseBench()
    bench.add_parents("h1")
    await bench.commit("a.room", 1, ["h1-0", "h1-1", "h1-2", "h1-3"], parent="h1")
    done = await bench.read("a.room", 5)
    assert (done.pages, done.records, bench.pages) == (2, 5, [2])


async def test_a_parent_whose_paging_never_ends_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging, "PAGES_PER_PARENT_MAX", 20)
    bench = LeaseBench(lambda request, body: PageBody((), (), "more", None, 1))
    bench.add_parents("h1")
    done = await bench.read("a.room", 1)
    assert (done.error, done.reason) == ("rejected", "parent h1 has more than 20 pages: is its paging a loop?")
