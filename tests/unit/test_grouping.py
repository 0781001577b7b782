import asyncio
from collections.abc import Sequence

import pytest

from agents.activities.batcher import Batcher
from topics.errors import Broken, Retryable


class Ferry:
    """A trip that leaves when it is told to. `trips` are the passengers of each, in the order of departure."""

    def __init__(self) -> None:
        self.trips: list[list[str]] = []
        self.may_land = asyncio.Event()
        self.under_way = self.most_under_way = 0
        self.error: Exception | None = None
        self.lost = 0

    async def __call__(self, items: Sequence[str]) -> Sequence[str]:
        self.trips.append(list(items))
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        await self.may_land.wait()
        self.under_way -= 1
        if self.error is not None:
            raise self.error
        return [item.upper() for item in items][self.lost :]


def calls(ferry: Ferry, batch_size_max: int = 3, concurrency_max: int = 1) -> Batcher[str, str]:
    return Batcher(ferry, batch_size_max=batch_size_max, concurrency_max=concurrency_max, group_of=lambda item: item[0])


async def begin(call: Batcher[str, str], *items: str) -> list[asyncio.Task[str]]:
    async def ask(item: str) -> str:
        return await call(item)

    tasks = [asyncio.create_task(ask(item)) for item in items]
    await asyncio.sleep(0)
    return tasks


async def test_alone_a_call_travels_at_once() -> None:
    ferry = Ferry()
    ferry.may_land.set()
    assert await calls(ferry)("a1") == "A1"


async def test_what_comes_while_a_trip_is_under_way_goes_together_in_the_next() -> None:
    ferry = Ferry()
    tasks = await begin(calls(ferry), "a1", "a2", "a3")
    ferry.may_land.set()
    assert await asyncio.gather(*tasks) == ["A1", "A2", "A3"]
    assert ferry.trips == [["a1"], ["a2", "a3"]]


async def test_a_trip_takes_at_most_so_many() -> None:
    ferry = Ferry()
    tasks = await begin(calls(ferry, batch_size_max=2), *(f"a{n}" for n in range(6)))
    ferry.may_land.set()
    await asyncio.gather(*tasks)
    assert ferry.trips == [["a0"], ["a1", "a2"], ["a3", "a4"], ["a5"]]


async def test_at_most_so_many_trips_are_under_way() -> None:
    ferry = Ferry()
    tasks = await begin(calls(ferry, concurrency_max=2), *(f"{group}{n}" for n in range(5) for group in "abcd"))
    await asyncio.sleep(0)
    assert ferry.under_way == 2
    ferry.may_land.set()
    await asyncio.gather(*tasks)
    assert ferry.most_under_way == 2


async def test_groups_take_turns_and_never_share_a_trip() -> None:
    ferry = Ferry()
    tasks = await begin(calls(ferry, batch_size_max=2), "a0", *(f"a{n}" for n in range(1, 6)), "b1")
    ferry.may_land.set()
    await asyncio.gather(*tasks)
    assert ferry.trips == [["a0"], ["a1", "a2"], ["b1"], ["a3", "a4"], ["a5"]]


async def test_a_trip_that_fails_fails_for_each_of_its_items() -> None:
    ferry = Ferry()
    ferry.error = Retryable("sunk")
    ferry.may_land.set()
    tasks = await begin(calls(ferry), "a1", "a2", "a3")
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [str(error) for error in found] == ["sunk"] * 3


async def test_the_trip_after_one_that_failed_goes_as_if_nothing_had_been() -> None:
    ferry = Ferry()
    ferry.error = Retryable("sunk")
    ferry.may_land.set()
    call = calls(ferry)
    with pytest.raises(Retryable):
        await call("a1")
    ferry.error = None
    assert await call("a2") == "A2"


async def test_a_caller_that_went_away_breaks_nobody_else() -> None:
    ferry = Ferry()
    tasks = await begin(calls(ferry), "a0", "a1", "a2", "a3")
    tasks[0].cancel()  # on its way already
    tasks[2].cancel()  # still waiting
    ferry.may_land.set()
    assert [await tasks[1], await tasks[3]] == ["A1", "A3"]


async def test_a_trip_with_too_few_answers_leaves_nobody_waiting() -> None:
    ferry = Ferry()
    ferry.lost = 1
    ferry.may_land.set()
    with pytest.raises(Broken, match="a trip with 1 items came back with 0 answers"):
        await calls(ferry)("a1")
