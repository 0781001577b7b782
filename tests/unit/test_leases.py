import asyncio

import pytest

from agents.activities.leases import LEASE_SECONDS_MAX, UNITS_IN_FLIGHT_MAX, LeaseReader
from agents.activities.source import FetchRequest
from agents.records.reader import PageBody
from tests.support.adapters import toy
from tests.support.leases import Bench
from tests.support.memory import ListSource
from topics.errors import Rejected, Retryable


async def test_a_lease_is_read_committed_and_told() -> None:
    bench = Bench()
    done = await bench.read("a.pet", 3)
    assert (done.units, done.pages, done.records, done.end, done.total_units) == (3, 3, 12, False, 6)
    assert bench.pages == [1, 2, 3]


async def test_a_lease_over_the_end_tells_the_end() -> None:
    done = await Bench().read("a.pet", 4, first=5)
    assert (done.units, done.records, done.end) == (2, 6, True)


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
        async def fetch(self, ask: FetchRequest) -> PageBody | None:
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


async def test_an_entity_that_is_not_known_here_is_refused() -> None:
    done = await Bench().read("a.ghost", 1)
    assert (done.error, done.reason) == ("rejected", "toy has no entity 'a.ghost' here")


async def test_a_collection_that_is_not_there_is_refused() -> None:
    class Gone(ListSource):
        async def fetch(self, ask: FetchRequest) -> PageBody | None:
            return None

    bench = Bench()
    bench.reader = LeaseReader(Gone({}), bench.database, {"toy": toy()}, bench.clock)
    done = await bench.read("a.pet", 1)
    assert (done.error, done.reason) == ("rejected", "/a/pet does not exist")
