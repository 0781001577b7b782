"""Commands that were under way when their process ended: which of them ended it, and what becomes of the others."""

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from agents.activities import interruptions as module
from agents.activities.interruptions import INTERRUPTIONS_MAX, Begun, Interruptions
from agents.activities.runner import ActivityRunner
from tests.support.leases import LeaseBench
from topics.actions import ActionComplete, RunAction
from topics.command import Command
from topics.errors import Broken, Rejected, Retryable
from topics.kinds.entity import FetchPages, PageDone


class Store:
    """What outlives the processes; `is_away`: no call reaches it."""

    def __init__(self) -> None:
        self.times: dict[str, int] = {}
        self.is_away = False

    async def interruptions(self, commands: Sequence[str]) -> Mapping[str, int]:
        self._check()
        return {command: self.times[command] for command in commands if command in self.times}

    async def begin(self, begun: Sequence[Begun]) -> None:
        self._check()
        self.times.update({one.command: one.times for one in begun})

    async def end(self, commands: Sequence[str]) -> None:
        self._check()
        for command in commands:
            self.times.pop(command, None)

    def _check(self) -> None:
        if self.is_away:
            raise Retryable("away")


class Runner(ActivityRunner):
    """Each command waits for `may_end`; then `error` is raised, if there is one."""

    def __init__(self) -> None:
        bench = LeaseBench()
        super().__init__(bench.reader, bench.database)
        self.error: Exception | None = None
        self.may_end = asyncio.Event()
        self.begun: list[Command] = []

    async def run(self, command: Command) -> Command:
        self.begun.append(command)
        await self.may_end.wait()
        if self.error is not None:
            raise self.error
        return self.refused(command, "done")


def lease(number: int) -> FetchPages:
    return FetchPages(
        workflow="entity-sync:acme:toy:a.pet:full", run=7, org="acme", adapter="toy", entity="a.pet", type="full",
        lease=number, first=number, units=1,
    )  # fmt: skip


ACTION = RunAction(action="finish-run", workflow="w", run=1, step="done", org="acme", adapter="toy")


async def life(store: Store, *commands: Command, is_killed: bool) -> tuple[list[Command], list[str]]:
    """One life of a process that these commands are delivered to again: what began, and the reasons in its results."""
    runner = Runner()
    running = Interruptions(runner, store)
    tasks = [asyncio.create_task(running.run(command, True)) for command in commands]
    if is_killed:
        await asyncio.sleep(0.02)
        store.is_away = True  # a process that is killed notes nothing
        for task in tasks:
            task.cancel()
    runner.may_end.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    store.is_away = False
    return runner.begun, [one.reason for one in results if isinstance(one, PageDone | ActionComplete)]


async def test_a_command_that_ends_every_process_is_set_aside_and_the_others_are_not() -> None:
    store, poison, others = Store(), lease(1), [lease(number) for number in range(2, 6)]
    began, _ = await life(store, *others[:2], poison, *others[2:], is_killed=True)
    assert len(began) == 5, "after one interruption all run side by side"
    for _ in range(INTERRUPTIONS_MAX - 1):
        began, _ = await life(store, poison, *others, is_killed=True)
        assert began == [poison], "after two it runs apart from the others"
    began, reasons = await life(store, poison, *others, is_killed=False)
    assert sorted(one.lease for one in began if isinstance(one, FetchPages)) == [2, 3, 4, 5]
    assert sum(reason.startswith("set aside: 4 times in a row the fetcher ended") for reason in reasons) == 1
    assert reasons.count("done") == 4
    assert store.times == {}


@pytest.mark.parametrize("command", [lease(1), ACTION])
async def test_what_is_set_aside_is_reported_to_its_workflow_as_rejected(command: Command) -> None:
    store = Store()
    store.times[command.id] = INTERRUPTIONS_MAX
    result = await Interruptions(Runner(), store).run(command, True)
    assert isinstance(result, PageDone | ActionComplete)
    assert (result.error, result.reason[:10]) == ("rejected", "set aside:")


async def test_a_command_that_was_not_delivered_again_costs_nothing() -> None:
    store, runner = Store(), Runner()
    store.is_away = True
    runner.may_end.set()
    assert (await Interruptions(runner, store).run(lease(1), False)).key == lease(1).workflow


async def test_without_the_database_a_command_runs_all_the_same() -> None:
    store = Store()
    store.is_away = True
    assert await life(store, lease(1), is_killed=False) == ([lease(1)], ["done"])


async def test_a_command_that_is_cancelled_in_order_or_rejected_has_ended_no_process() -> None:
    store, runner = Store(), Runner()
    held = asyncio.create_task(Interruptions(runner, store).run(lease(1), True))
    while not runner.begun:
        await asyncio.sleep(0)
    assert store.times == {lease(1).id: 1}
    held.cancel()
    await asyncio.wait([held])
    assert (held.cancelled(), store.times) == (True, {})
    runner.error = Rejected("none of ours")
    runner.may_end.set()
    with pytest.raises(Rejected):
        await Interruptions(runner, store).run(lease(1), True)
    assert store.times == {}


async def test_an_error_that_ends_the_process_counts() -> None:
    store, runner = Store(), Runner()
    runner.error = Broken("impossible")
    runner.may_end.set()
    with pytest.raises(Broken):
        await Interruptions(runner, store).run(lease(1), True)
    assert store.times == {lease(1).id: 1}


async def test_an_interrupted_command_that_hangs_holds_up_the_next_one_for_a_while_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "APART_SECONDS_MAX", 0.02)
    store, runner = Store(), Runner()
    store.times = {lease(1).id: 1, lease(2).id: 1}
    running = Interruptions(runner, store)
    tasks = [asyncio.create_task(running.run(lease(number), True)) for number in (1, 2)]
    await asyncio.sleep(0.01)
    assert runner.begun == [lease(1)]
    await asyncio.sleep(0.03)
    assert runner.begun == [lease(1), lease(2)]
    runner.may_end.set()
    await asyncio.gather(*tasks)
    assert store.times == {}
