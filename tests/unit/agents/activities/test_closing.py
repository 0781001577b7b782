"""Closing of runs: what the database has lost meanwhile, repairs of another fetcher, parents that are not proven."""

import pytest

from agents.activities.database import Database
from agents.ledger import Proof
from agents.ports import FetchRequest, RunEnd
from tests.support.leases import LeaseBench
from tests.unit.agents.activities.test_enumeration import ordered
from topics.errors import Retryable


@pytest.fixture
def bench() -> LeaseBench:
    return ordered()


async def test_a_run_whose_pages_are_lost_while_it_is_closed_is_read_again(bench: LeaseBench) -> None:
    runs = bench.sink.runs.values()
    bench.sink.before_closing = lambda: [run.lines.pop(("", 7), None) for run in runs]
    lost = await bench.read("a.pet", 32, closes=True)
    bench.sink.before_closing = lambda: None
    assert (lost.end, lost.closed) == (True, None)
    done = await bench.read("a.pet", 1, first=lost.units + 1, closing=True, lease=2)
    (run,) = runs
    assert run.proof is not None
    assert (done.pages, done.closed, run.proof.pages) == (1, run.counts, run.counts and run.counts.pages)


async def test_a_run_that_is_left_open_is_asked_for_again(bench: LeaseBench) -> None:
    await bench.commit("a.pet", 1, ["p00"])
    (run,) = bench.sink.runs.values()
    with pytest.raises(Retryable, match="other pages than a moment ago"):
        await Database(bench.sink, bench.clock.sleep).close_run(RunEnd(run.ref, "done", Proof(True, "met", 2)))
    assert run.state == "open"


async def test_repairs_of_a_fetcher_that_died_are_not_made_again(bench: LeaseBench) -> None:
    keys = bench.source.data["a.pet"]

    def delete_three(request: FetchRequest) -> None:
        if request.page == 4:
            del keys[:3]

    bench.source.on_fetch, bench.sink.closes_runs = delete_three, False
    await bench.read("a.pet", 32, closes=True)
    (run,) = bench.sink.runs.values()
    repairs = [page for _, page in run.lines if page < 0]
    assert repairs
    bench.source.on_fetch, bench.sink.closes_runs = (lambda request: None), True
    done = await bench.read("a.pet", 32, closes=True)
    assert done.closed == run.counts
    assert {page: bench.pages.count(page) for page in repairs} == dict.fromkeys(repairs, 1)


@pytest.mark.parametrize(
    ("proof", "reason"),
    [
        (None, "they stand under a.house, of which the database has no complete run"),
        (Proof(False, "no order", 3), "they stand under a.house, which is not proven: no order"),
    ],
)
async def test_what_stands_under_parents_that_are_not_proven_is_not_proven(
    bench: LeaseBench, proof: Proof | None, reason: str
) -> None:
    bench.add_parents("h1", "h2", proof=proof)
    done = await bench.read("a.room", 32, closes=True)
    assert (done.end, done.remark) == (True, f"not proven complete: {reason}" if reason else "")
