"""How a lease ends: it closes its run, is fenced, or waits for another lease of the same pages."""

import asyncio
from typing import Any

import pytest

from agents.activities.database import Database
from agents.activities.fetch import LeaseReader
from agents.ports import FetchRequest, LeaseState, RunEnd, RunRef
from tests.support.adapters import toy
from tests.support.leases import RUN, LeaseBench
from tests.support.memory import MemorySink
from topics.command import Counts
from topics.errors import Rejected


@pytest.mark.parametrize(("entity", "counts"), [("a.pet", Counts(6, 22)), ("a.log", Counts(10, 40))])
async def test_a_lease_that_reaches_the_end_alone_closes_the_run(entity: str, counts: Counts) -> None:
    bench = LeaseBench()
    done = await bench.read(entity, 32, closes=True)
    assert (done.end, done.closed) == (True, counts)
    assert bench.run_states == ["done"]


async def test_a_lease_that_does_not_reach_the_end_leaves_the_run_open() -> None:
    bench = LeaseBench()
    assert (await bench.read("a.pet", 3, closes=True)).closed is None
    assert bench.run_states == ["open"]


async def test_a_lease_of_a_run_that_is_complete_reports_its_counts_and_fetches_nothing() -> None:
    bench = LeaseBench()
    await bench.read("a.pet", 32, closes=True)
    bench.source.served.clear()
    again = await bench.read("a.pet", 32, closes=True)
    assert (again.error, again.closed, bench.pages) == (None, Counts(6, 22), [])


async def test_a_run_that_was_cancelled_meanwhile_is_fenced_without_counts() -> None:
    bench = LeaseBench()
    ref = RunRef("entity-sync:acme:toy:a.pet:full", RUN, "acme", "toy", "a.pet", "full")
    await bench.sink.close_runs([RunEnd(ref, "cancelled")])
    done = await bench.read("a.pet", 32, closes=True)
    assert (done.error, done.closed) == ("fenced", None)


async def test_a_run_that_cannot_be_closed_now_is_left_to_the_decider() -> None:
    bench = LeaseBench()
    bench.sink.closes_runs = False
    done = await bench.read("a.pet", 32, closes=True)
    assert (done.end, done.units, done.error, done.closed) == (True, 6, None, None)


async def test_a_page_that_another_process_has_committed_meanwhile_is_reported_as_the_ledger_has_it() -> None:
    bench = LeaseBench()
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
    assert bench.run_states == ["open"]


async def test_a_fenced_lease_that_cannot_learn_whether_its_run_is_complete_is_retried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = LeaseBench()
    answers = iter([[LeaseState(True)]])

    async def answer_once(requests: Any) -> list[LeaseState]:
        for answer in answers:
            return answer
        raise Rejected("no rights any more")

    monkeypatch.setattr(bench.sink, "open_leases", answer_once)
    bench.reader = LeaseReader(
        bench.source, Database(bench.sink, bench.clock.sleep), {"toy": toy()}, bench.clock, bench.clock.sleep
    )
    done = await bench.read("a.log", 1)
    assert (done.error, done.closed) == ("retryable", None)


@pytest.mark.parametrize("entity", ["a.pet", "a.log"])
async def test_two_leases_that_overlap_fetch_each_page_once(entity: str) -> None:
    bench = LeaseBench()
    first, second = await asyncio.gather(bench.read(entity, 4), bench.read(entity, 8))
    assert first.units == 4 < second.units
    assert bench.pages == list(range(1, second.units + 1))


async def test_leases_that_do_not_overlap_run_side_by_side() -> None:
    bench = LeaseBench()
    bench.sink.may_commit.clear()
    both = [asyncio.create_task(bench.read("a.pet", 2, first=first)) for first in (1, 3)]
    while not {1, 3} <= set(bench.sink.committing):
        await asyncio.sleep(0)
    bench.sink.may_commit.set()
    assert [done.units for done in await asyncio.gather(*both)] == [2, 2]


async def test_a_lease_that_is_cancelled_lets_the_next_one_of_its_pages_begin() -> None:
    bench = LeaseBench()
    bench.sink.may_commit.clear()
    held = asyncio.create_task(bench.read("a.pet", 2))
    while not bench.sink.committing:
        await asyncio.sleep(0)
    waiting = asyncio.create_task(bench.read("a.pet", 2))
    await asyncio.sleep(0)
    held.cancel()
    bench.sink.may_commit.set()
    assert (await waiting).units == 2


@pytest.mark.parametrize("entity", ["a.pet", "a.room"])
async def test_a_lease_of_a_closed_run_is_fenced_and_fetches_nothing(entity: str) -> None:
    bench = LeaseBench()
    bench.add_parents("h1")
    await bench.read(entity, 1, run=RUN + 1)
    bench.source.served.clear()
    done = await bench.read(entity, 3)
    assert (done.error, done.newest, done.units, bench.pages) == ("fenced", RUN + 1, 0, [])


async def test_a_run_that_is_closed_while_it_is_read_is_fenced() -> None:
    bench = LeaseBench()

    def close(request: FetchRequest) -> None:
        for run in bench.sink.runs.values():
            run.state = "cancelled"

    bench.source.on_fetch = close
    assert (await bench.read("a.log", 3)).error == "fenced"
    assert bench.sink.rows == {}
