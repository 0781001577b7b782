import asyncio
from collections.abc import Sequence

import pytest

from agents.activities.batcher import Batcher
from topics.errors import Broken, Retryable


class Call:
    """A batch call that returns once it may. `batches` are the items of each, in the order of their begin."""

    def __init__(self, may_return: bool = True) -> None:
        self.batches: list[list[str]] = []
        self.may_return = asyncio.Event()
        if may_return:
            self.may_return.set()
        self.running = self.running_max = 0
        self.error: Exception | None = None
        self.lost = 0

    async def __call__(self, items: Sequence[str]) -> Sequence[str]:
        self.batches.append(list(items))
        self.running += 1
        self.running_max = max(self.running_max, self.running)
        await self.may_return.wait()
        self.running -= 1
        if self.error is not None:
            raise self.error
        return [item.upper() for item in items][self.lost :]


def batcher(call: Call, batch_size_max: int = 3, concurrency_max: int = 1) -> Batcher[str, str]:
    return Batcher(call, batch_size_max=batch_size_max, concurrency_max=concurrency_max, group_of=lambda item: item[0])


async def begin(batched: Batcher[str, str], *items: str) -> list[asyncio.Task[str]]:
    async def one(item: str) -> str:
        return await batched(item)

    tasks = [asyncio.create_task(one(item)) for item in items]
    await asyncio.sleep(0)
    return tasks


@pytest.mark.parametrize(
    ("batch_size_max", "items", "batches"),
    [
        pytest.param(3, "a1 a2 a3", ["a1", "a2 a3"], id="calls_during_a_batch_share_the_next"),
        pytest.param(2, "a0 a1 a2 a3 a4 a5", ["a0", "a1 a2", "a3 a4", "a5"], id="a_batch_has_a_maximum_size"),
        pytest.param(
            2, "a0 a1 a2 a3 a4 a5 b1", ["a0", "a1 a2", "b1", "a3 a4", "a5"], id="groups_take_turns_and_share_no_batch"
        ),
    ],
)
async def test_batches_are(batch_size_max: int, items: str, batches: list[str]) -> None:
    call = Call(may_return=False)
    tasks = await begin(batcher(call, batch_size_max), *items.split())
    call.may_return.set()
    assert await asyncio.gather(*tasks) == items.upper().split()
    assert call.batches == [batch.split() for batch in batches]


async def test_the_number_of_batches_at_the_same_time_has_a_maximum() -> None:
    call = Call(may_return=False)
    tasks = await begin(batcher(call, concurrency_max=2), *(f"{group}{n}" for n in range(5) for group in "abcd"))
    await asyncio.sleep(0)
    assert call.running == 2
    call.may_return.set()
    await asyncio.gather(*tasks)
    assert call.running_max == 2


async def test_a_group_that_is_held_up_holds_up_no_other_one() -> None:
    calls: list[str] = []

    async def call(items: Sequence[str]) -> Sequence[str]:
        calls.extend(items)
        if items[0][0] == "a":
            await asyncio.Event().wait()
        return items

    batched: Batcher[str, str] = Batcher(
        call, batch_size_max=1, concurrency_max=2, group_concurrency_max=1, group_of=lambda item: item[0]
    )
    held_up = await begin(batched, "a1", "a2", "a3")
    for item in ("b1", "c1", "b2"):
        assert await batched(item) == item
    assert calls == ["a1", "b1", "c1", "b2"]
    for task in held_up:
        task.cancel()


async def test_an_error_that_names_a_time_is_that_of_whatever_waits_in_its_group() -> None:
    call = Call(may_return=False)
    tasks = await begin(batcher(call), "a1", "a2", "a3", "b1")
    call.error = Retryable("locked", after_seconds=5)
    call.may_return.set()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [str(error) for error in found] == ["locked"] * 4
    assert call.batches == [["a1"], ["b1"]]


async def test_a_batch_that_fails_fails_for_each_of_its_items_and_for_no_others() -> None:
    call = Call()
    call.error = Retryable("down")
    batched = batcher(call)
    found = await asyncio.gather(*await begin(batched, "a1", "a2", "a3"), return_exceptions=True)
    assert [str(error) for error in found] == ["down"] * 3
    call.error = None
    assert await batched("a4") == "A4"


async def test_a_caller_that_is_cancelled_does_not_affect_the_others() -> None:
    call = Call(may_return=False)
    tasks = await begin(batcher(call), "a0", "a1", "a2", "a3")
    tasks[0].cancel()  # in a batch already
    tasks[2].cancel()  # still waiting
    call.may_return.set()
    assert [await tasks[1], await tasks[3]] == ["A1", "A3"]


async def test_a_batch_with_too_few_answers_is_broken_and_leaves_nobody_waiting() -> None:
    call = Call()
    call.lost = 1
    with pytest.raises(Broken, match="a batch of 1 items came back with 0 answers"):
        await batcher(call)("a1")
