import asyncio

from service.api.slots import Slots


async def test_the_lowest_rank_is_served_first_and_no_slot_is_lost_by_those_who_give_up() -> None:
    slots, served = Slots(2), list[str]()
    may_end = asyncio.Event()

    async def request(name: str, rank: int) -> None:
        await slots.take(rank)
        served.append(name)
        await may_end.wait()
        slots.give()

    tasks = {}
    for name, rank in (("a", 5), ("b", 5), ("high", 9), ("low", 1), ("given up", 0), ("lower than high", 8)):
        tasks[name] = asyncio.create_task(request(name, rank))
        await asyncio.sleep(0)
    tasks["given up"].cancel()
    await asyncio.sleep(0)
    assert served == ["a", "b"]
    may_end.set()
    await asyncio.gather(*tasks.values(), return_exceptions=True)
    assert served == ["a", "b", "low", "lower than high", "high"]
    await slots.take(0)
    await slots.take(0)


async def test_a_slot_that_was_given_to_one_who_is_cancelled_at_that_moment_goes_to_the_next() -> None:
    slots, served = Slots(1), list[str]()

    async def request(name: str) -> None:
        await slots.take(0)
        served.append(name)
        slots.give()

    await slots.take(0)
    tasks = [asyncio.create_task(request(name)) for name in ("cancelled", "next")]
    await asyncio.sleep(0)
    slots.give()
    tasks[0].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert served == ["next"]
