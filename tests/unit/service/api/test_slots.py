import asyncio

from service.api.slots import Slots


async def test_the_oldest_work_is_served_first_and_no_slot_is_lost_by_those_who_give_up() -> None:
    slots, served = Slots(2), list[str]()
    may_end = asyncio.Event()

    async def request(name: str, since: float) -> None:
        async with slots.taken(since):
            served.append(name)
            await may_end.wait()

    tasks = {}
    for name, since in (("a", 5), ("b", 5), ("young", 9), ("old", 1), ("given up", 0), ("older than young", 8)):
        tasks[name] = asyncio.create_task(request(name, since))
        await asyncio.sleep(0)
    tasks["given up"].cancel()
    await asyncio.sleep(0)
    assert served == ["a", "b"]
    may_end.set()
    await asyncio.gather(*tasks.values(), return_exceptions=True)
    assert served == ["a", "b", "old", "older than young", "young"]
    async with slots.taken(0), slots.taken(0):
        pass


async def test_a_slot_that_was_given_to_one_who_is_cancelled_at_that_moment_goes_to_the_next() -> None:
    slots, served = Slots(1), list[str]()

    async def request(name: str) -> None:
        async with slots.taken(0):
            served.append(name)

    async with slots.taken(0):
        tasks = [asyncio.create_task(request(name)) for name in ("cancelled", "next")]
        await asyncio.sleep(0)
    tasks[0].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert served == ["next"]
