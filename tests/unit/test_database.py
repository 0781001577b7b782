import asyncio
from collections.abc import Sequence

import pytest

from agents.activities.database import ATTEMPTS_MAX, RUNS_PER_BATCH_MAX, Database
from agents.ports import ClosedRun, LeaseRequest, LeaseState, PageOutcome, PageWrite, RunEnd
from tests.sinks.builders import CONTACT, TYPED, ask, page, run
from tests.support.memory import MemorySink
from topics.errors import Broken, Rejected, Retryable, SluiceError


class Moody(MemorySink):
    """Raises its errors first, one a call; then it works. `calls` counts both."""

    def __init__(self, *errors: SluiceError) -> None:
        super().__init__()
        self.errors = list(errors)
        self.calls = 0

    async def grant(self, asks: Sequence[LeaseRequest]) -> Sequence[LeaseState]:
        self.be_moody()
        return await super().grant(asks)

    async def commit(self, pages: Sequence[PageWrite]) -> Sequence[PageOutcome]:
        self.be_moody()
        return await super().commit(pages)

    async def finish(self, ends: Sequence[RunEnd]) -> Sequence[ClosedRun]:
        self.be_moody()
        return await super().finish(ends)

    def be_moody(self) -> None:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)


class Bed:
    def __init__(self) -> None:
        self.slept: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.slept.append(seconds)


async def test_a_database_that_is_away_for_a_moment_is_waited_for() -> None:
    sink, bed = Moody(*[Retryable("away")] * 3), Bed()
    grant = await Database(sink, bed).grant(ask(run()))
    assert (grant.is_open, bed.slept) == (True, [0.5, 1, 2])


async def test_what_the_database_asks_for_is_waited_up_to_a_limit() -> None:
    sink, bed = Moody(Retryable("busy", after_seconds=3), Retryable("busy", after_seconds=600)), Bed()
    await Database(sink, bed).finish(RunEnd(run(), "done"))
    assert bed.slept == [3, 8]


async def test_a_database_that_stays_away_is_told_of_after_the_last_attempt() -> None:
    sink, bed = Moody(*[Retryable("away")] * 20), Bed()
    with pytest.raises(Retryable, match="away"):
        await Database(sink, bed).finish(RunEnd(run(), "done"))
    assert (sink.calls, bed.slept) == (ATTEMPTS_MAX, [0.5, 1, 2, 4, 8])


@pytest.mark.parametrize("error", [Rejected("no such table"), Broken("impossible")])
async def test_what_will_not_pass_is_not_tried_again(error: SluiceError) -> None:
    sink, bed = Moody(error), Bed()
    with pytest.raises(type(error), match=str(error)):
        await Database(sink, bed).grant(ask(run()))
    assert bed.slept == []


async def test_a_commit_whose_outcome_is_not_known_is_repeated_and_counted_once() -> None:
    sink, bed = Moody(), Bed()
    database = Database(sink, bed)
    await database.grant(ask(run()))
    assert (await database.commit_page(page(run(), 1))).status == "committed"
    sink.errors = [Retryable("the outcome is not known")]
    assert (await database.commit_page(page(run(), 1))).status == "already"


async def test_pages_of_one_entity_share_a_transaction_and_those_of_two_do_not() -> None:
    class Recording(MemorySink):
        def __init__(self) -> None:
            super().__init__()
            self.trips: list[set[str]] = []

        async def commit(self, pages: Sequence[PageWrite]) -> Sequence[PageOutcome]:
            self.trips.append({one.entity.name for one in pages})
            await asyncio.sleep(0)
            return await super().commit(pages)

    sink = Recording()
    database = Database(sink, Bed())
    both = [page(run(), n, entity=entity) for n in range(1, 30) for entity in (CONTACT, TYPED)]
    await asyncio.gather(*(database.commit_page(one) for one in both))
    assert all(len(names) == 1 for names in sink.trips)
    assert len(sink.trips) < len(both)


async def test_leases_of_many_runs_are_granted_together() -> None:
    sink = Moody()
    database = Database(sink, Bed())
    runs = [run(org=f"org{n}") for n in range(RUNS_PER_BATCH_MAX)]
    grants = await asyncio.gather(*(database.grant(ask(one)) for one in runs))
    assert all(grant.is_open for grant in grants)
    assert sink.calls < len(runs)
