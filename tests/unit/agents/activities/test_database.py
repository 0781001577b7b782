import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest
from msgspec.structs import replace

from agents.activities.database import RUNS_PER_BATCH_MAX, Database
from agents.core.retry import DATABASE
from agents.ports import ClosedRun, LeaseRequest, LeaseState, PageOutcome, PageWrite, RowWrite, RunEnd, RunRef
from manifests.entity import Entity
from tests.support.adapters import toy
from tests.support.leases import LeaseBench
from tests.support.memory import MemorySink
from topics.errors import Broken, Rejected, Retryable, SluiceError

PAGE = LeaseBench().write("a.pet", 1, ["p1"])
RUN = PAGE.run
END = RunEnd(RUN, "done")


class UnreliableSink(MemorySink):
    """Raises its errors first, one a call; then it works. `calls` counts both."""

    def __init__(self, *errors: SluiceError) -> None:
        super().__init__()
        self.errors = list(errors)
        self.calls = 0
        self.commits_of: list[set[str]] = []
        self.pages_of: list[int] = []
        self.before: Callable[[str], Awaitable[None]] = lambda entity: asyncio.sleep(0)

    async def open_leases(self, requests: Sequence[LeaseRequest]) -> Sequence[LeaseState]:
        self._begin()
        return await super().open_leases(requests)

    async def commit(self, pages: Sequence[PageWrite]) -> Sequence[PageOutcome]:
        self.commits_of.append({page.entity.name for page in pages})
        self.pages_of.append(len(pages))
        self._begin()
        await self.before(pages[0].entity.name)
        return await super().commit(pages)

    async def count(self, adapter: str, entity: Entity, org: str) -> int:
        await self.before(entity.name)
        return await super().count(adapter, entity, org)

    async def close_runs(self, ends: Sequence[RunEnd]) -> Sequence[ClosedRun | None]:
        self._begin()
        return await super().close_runs(ends)

    def _begin(self) -> None:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)


class Bench:
    """A database on such a sink, and how long it waited between its attempts."""

    def __init__(self, *errors: SluiceError) -> None:
        self.sink = UnreliableSink(*errors)
        self.slept: list[float] = []
        self.database = Database(self.sink, self._sleep)

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


def lease(run: RunRef = RUN) -> LeaseRequest:
    return LeaseRequest(run, 1, 10)


async def test_a_database_that_is_away_for_a_moment_is_waited_for() -> None:
    bench = Bench(*[Retryable("away")] * 3)
    state = await bench.database.open_lease(lease())
    assert (state.is_open, bench.slept) == (True, [0.5, 1, 2])


async def test_a_database_that_stays_away_is_reported_after_the_last_attempt() -> None:
    bench = Bench(*[Retryable("away")] * 20)
    with pytest.raises(Retryable, match="away"):
        await bench.database.close_run(END)
    assert (bench.sink.calls, bench.slept) == (DATABASE.attempts_max, [0.5, 1, 2, 4, 8])


@pytest.mark.parametrize("error", [Rejected("no such table"), Broken("impossible"), Retryable("locked", 5)])
async def test_an_error_that_stays_is_not_retried(error: SluiceError) -> None:
    bench = Bench(error)
    with pytest.raises(type(error), match=str(error)):
        await bench.database.open_lease(lease())
    assert bench.slept == []


async def test_an_entity_without_a_fit_table_fails_with_the_reason_until_that_is_put_right_and_no_other_does() -> None:
    bench = LeaseBench()
    bench.sink.problems = {"a.pet": Rejected("column age is text: run `sluice manifests apply`")}
    assert await bench.database.prepare(toy()) == bench.sink.problems
    failed, done = await bench.read("a.pet", 1), await bench.read("a.house", 1)
    assert (failed.error, failed.reason) == ("rejected", "column age is text: run `sluice manifests apply`")
    assert (done.error, bench.source.served) == (None, [("a.house", "acme", 1)])
    bench.sink.problems = {}
    assert (await bench.read("a.pet", 1)).error is None


async def test_a_commit_whose_outcome_is_not_known_is_repeated_and_counted_once() -> None:
    bench = Bench()
    await bench.database.open_lease(lease())
    assert (await bench.database.commit_page(PAGE)).status == "committed"
    bench.sink.errors = [Retryable("the outcome is not known")]
    assert (await bench.database.commit_page(PAGE)).status == "already"


async def test_pages_of_one_entity_share_a_transaction_and_those_of_two_do_not() -> None:
    bench, pages = Bench(), LeaseBench()
    both = [pages.write(entity, n, []) for n in range(1, 30) for entity in ("a.pet", "a.house")]
    await asyncio.gather(*(bench.database.commit_page(one) for one in both))
    assert all(len(entities) == 1 for entities in bench.sink.commits_of)
    assert len(bench.sink.commits_of) < len(both)


@pytest.mark.parametrize(
    ("rows", "raw", "pages"), [(1, 1, 64), (10_000, 20, 1), (100, 40_000, 8)], ids=["usual", "many_rows", "large_rows"]
)
async def test_a_transaction_is_bounded_in_rows_and_bytes(rows: int, raw: int, pages: int) -> None:
    bench = Bench()
    content = tuple(RowWrite(str(key), (), "x" * raw, b"", None) for key in range(rows))
    several = [replace(PAGE, page=number, rows=content) for number in range(130)]
    await asyncio.gather(*(bench.database.commit_page(one) for one in several))
    assert max(bench.sink.pages_of) == pages


async def test_a_table_that_is_locked_holds_up_no_other_one() -> None:
    """Its commits and its reads take one of several places each."""
    bench, may_end, pages = Bench(), asyncio.Event(), LeaseBench()

    async def wait_if_locked(entity: str) -> None:
        if entity == "a.pet":
            await may_end.wait()

    bench.sink.before = wait_if_locked
    locked = [pages.write("a.pet", number, []) for number in range(200)]
    waiting = [
        *(asyncio.create_task(bench.database.commit_page(one)) for one in locked),
        *(asyncio.create_task(bench.database.count("toy", locked[0].entity, "acme")) for _ in range(20)),
    ]
    free = [pages.write("a.house", number, []) for number in range(200)]
    await asyncio.gather(*(bench.database.commit_page(one) for one in free))
    assert await bench.database.count("toy", free[0].entity, "acme") == 0
    assert not any(task.done() for task in waiting)
    may_end.set()
    await asyncio.gather(*waiting)


async def test_leases_of_many_runs_are_opened_together() -> None:
    bench = Bench()
    numbers = range(RUNS_PER_BATCH_MAX)
    runs = [RunRef(f"entity-sync:org{n}:toy:a.pet:full", 1, f"org{n}", "toy", "a.pet", "full") for n in numbers]
    states = await asyncio.gather(*(bench.database.open_lease(lease(one)) for one in runs))
    assert all(state.is_open for state in states)
    assert bench.sink.calls < len(runs)
