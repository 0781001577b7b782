"""Logs that lose their end, their beginning or all: nothing new is taken for a replay, and nothing old runs again."""

from collections.abc import Callable
from itertools import count

import pytest

from agents.core.reading import LostRecords
from tests.engine.broker import LogPartition
from tests.engine.engine import KEY, Engine
from tests.engine.faults import Died, dies_at
from topics.catalog import CHANGELOG
from topics.dead_letters import DeadLetter

STARTS = LogPartition("start-sync", 0)
DEADLINE_MS = 60_000  # nobody asks again by itself before
Change = Callable[[Engine], None]


def cut_to_nothing(engine: Engine) -> None:
    engine.broker.truncate(STARTS, 0)


def cut_in_the_middle(engine: Engine) -> None:
    engine.broker.truncate(STARTS, 1)


def created_again(engine: Engine) -> None:
    engine.broker.recreate("start-sync", engine.groups.values())


CHANGES = [cut_to_nothing, cut_in_the_middle, created_again]


async def after_two_runs(change: Change, is_restarted: bool = False) -> Engine:
    """Two runs, and then the log of requests is another one."""
    engine = Engine(data={})
    await engine.run("one")
    await engine.run("two")
    change(engine)
    if is_restarted:
        await engine.restart()
    return engine


def runs_of(engine: Engine) -> int:
    return sum(row["kind"] == "main-sync" for row in engine.published.runs.values())


@pytest.mark.parametrize("is_restarted", [False, True], ids=["alive", "restarted"])
@pytest.mark.parametrize("change", CHANGES)
async def test_a_new_request_at_an_offset_that_was_read_before_runs(change: Change, is_restarted: bool) -> None:
    engine = await after_two_runs(change, is_restarted)
    await engine.run("three")
    assert (engine.sync().request, engine.sync().status, runs_of(engine)) == ("three", "done", 3)


@pytest.mark.parametrize("change", CHANGES)
async def test_a_new_request_without_an_id_is_not_the_one_that_stood_at_its_offset_before(change: Change) -> None:
    engine = Engine()
    await engine.run()
    await engine.run()
    change(engine)
    await engine.run()
    assert (engine.sync().status, runs_of(engine)) == ("done", 3)


@pytest.mark.parametrize("change", CHANGES)
async def test_a_request_that_was_handled_does_not_run_again(change: Change) -> None:
    engine = await after_two_runs(change)
    for request in ("one", "two"):
        await engine.run(request)
    assert (engine.sync().request, runs_of(engine)) == ("two", 2)


async def test_logs_that_are_cut_again_and_again_are_others_each_time() -> None:
    engine = await after_two_runs(cut_to_nothing)
    for number in range(3):
        await engine.run(f"after cut {number}")
        engine.broker.truncate(STARTS, 0)
    await engine.run("the last")
    assert (engine.sync().request, runs_of(engine)) == ("the last", 6)


@pytest.mark.parametrize("change", CHANGES)
async def test_a_crash_at_any_point_after_it_loses_no_request_and_runs_none_twice(change: Change) -> None:
    for fatal in count():
        engine = await after_two_runs(change)
        engine.may_crash = dies_at(fatal)
        engine.start("three")
        await engine.settle()
        assert (engine.sync().request, engine.sync().status, runs_of(engine)) == ("three", "done", 3)
        if not engine.crashes:
            return


async def test_a_replay_of_another_log_is_still_a_replay() -> None:
    engine = await after_two_runs(created_again)

    def may_crash(where: str) -> None:
        if where == "after the flush, before the commit" and engine.log("start-sync"):
            engine.may_crash = lambda where: None
            raise Died

    engine.may_crash = may_crash
    await engine.run("three")
    assert (engine.crashes, engine.sync().request, runs_of(engine)) == (1, "three", 3)
    replayed = [out for out in engine.log(CHANGELOG) if out.key == KEY.encode()]
    assert replayed[-1].value == engine.stored()[KEY.encode()]


async def test_what_waits_for_results_that_are_gone_asks_again_at_once_and_fetches_no_page_again() -> None:
    engine = Engine()
    began, lost = engine.clock.now_ms, 0
    engine.start("one")
    await engine.restart()
    while any([await process.drain() for process in (engine.worker, engine.fetcher)]):
        tp = LogPartition("page-done", 0)
        unread = len(engine.broker.logs[tp])
        if lost < 3 and unread > engine.worker.position[tp]:
            engine.broker.delete_before(tp, unread)
            lost += 1
    assert [one.topic for one in engine.worker.lost] == ["page-done"] * lost == ["page-done"] * 3
    assert (engine.sync().status, engine.served_twice()) == ("done", {})
    assert engine.clock.now_ms - began < DEADLINE_MS


async def test_requests_that_left_the_broker_unread_are_named_and_the_next_one_runs() -> None:
    engine = Engine()
    await engine.run("one")
    for request in ("two", "three"):
        engine.start(request)
    engine.broker.delete_before(STARTS, 3)
    await engine.run("four")
    assert engine.worker.lost == [LostRecords("start-sync", 0, 1, 3)]
    assert str(engine.worker.lost[0]).startswith("start-sync/0: records 1 to 2 (2) left the broker before they were")
    assert (engine.sync().request, runs_of(engine)) == ("four", 2)
    await engine.restart()
    await engine.settle()
    assert engine.worker.lost == []


async def test_a_dead_letter_is_not_lost_with_the_log() -> None:
    engine = await after_two_runs(cut_to_nothing)
    engine.send_raw("start-sync", b"start acme please")
    await engine.settle()
    letters: list[DeadLetter] = engine.dead_letters()
    assert [(letter.topic, letter.offset) for letter in letters] == [("start-sync", 0)]
