"""The whole engine in one process: what a sync does, in which order, and what survives."""

from collections.abc import Callable

import pytest

from agents.ports import FetchRequest
from tests.engine.broker import LogPartition
from tests.engine.engine import ENTITIES, Engine
from tests.engine.faults import dies_at
from tests.support.adapters import toy_data
from topics.catalog import CHANGELOG
from topics.errors import Rejected, Retryable, SluiceError


async def test_a_start_becomes_every_row_of_every_entity_and_fetches_every_page_once() -> None:
    engine = await Engine().run()
    assert (engine.sync().status, engine.served_twice()) == ("done", {})
    assert engine.stored_keys() == engine.expected_keys()
    child = engine.sync().children["a.room"]
    assert (child.pages, child.records) == (18, 45)


async def test_an_empty_collection_completes() -> None:
    engine = await Engine(data={}).run()
    assert {child.status for child in engine.sync().children.values()} == {"done"}


async def test_a_child_is_fetched_only_when_its_required_parent_is_complete() -> None:
    engine = Engine()

    def look(request: FetchRequest) -> None:
        if request.entity.name in ("a.room", "a.pet"):
            assert engine.sync().children["a.house"].status == "done"

    engine.source.on_fetch = look
    await engine.run()
    assert engine.sync().status == "done"


async def test_a_failed_entity_blocks_its_hard_dependents_and_nothing_else() -> None:
    engine = Engine()
    engine.source.trouble = failing("a.house", Rejected("403 forbidden"))
    await engine.run()
    children = engine.sync().children
    assert {name: child.status for name, child in children.items()} == {
        "a.house": "failed",
        "a.room": "blocked",
        "a.pet": "blocked",
        "a.guest": "done",
        "a.log": "done",
    }
    assert children["a.house"].reason == "403 forbidden"
    assert children["a.pet"].reason == "a.house failed"
    assert engine.sync().status == "failed"


async def test_a_soft_dependency_is_waited_for_and_its_failure_blocks_nobody() -> None:
    engine = Engine()
    engine.source.trouble = failing("a.pet", Rejected("gone"))

    def look(request: FetchRequest) -> None:
        if request.entity.name == "a.guest":
            assert engine.sync().children["a.pet"].status == "failed"

    engine.source.on_fetch = look
    await engine.run()
    assert engine.sync().children["a.guest"].status == "done"


async def test_an_api_that_is_down_is_waited_for_and_then_read_where_it_stopped() -> None:
    engine = Engine()
    engine.source.trouble = failing("a.pet", Retryable("503 unavailable"), page=3)
    await engine.run()
    waiting = engine.entity("a.pet")
    assert (waiting.error, waiting.error_reason) == ("retryable", "503 unavailable")
    engine.source.trouble = None
    await engine.advance(600)
    assert engine.sync().status == "done"
    assert engine.served_twice() == {}


async def test_an_api_that_stays_down_fails_the_entity_with_the_reason() -> None:
    engine = Engine()
    engine.source.trouble = failing("a.pet", Retryable("503 unavailable"))
    engine.start()
    for _ in range(30):
        await engine.advance(301)
    assert engine.sync().children["a.pet"].reason == "gave up after 20 attempts: 503 unavailable"


async def test_a_lease_whose_answer_is_lost_is_asked_for_again_by_its_deadline() -> None:
    engine = Engine()
    engine.start()
    lost = False

    def lose(where: str) -> None:
        nonlocal lost
        reported = engine.broker.logs[LogPartition("page-done", 0)]
        if where == "between two steps of its work" and reported and not lost:
            reported.pop()
            lost = True

    engine.may_crash = lose
    await engine.settle()
    assert engine.sync().status == "running"
    await engine.advance(1_000)
    assert engine.sync().status == "done"
    assert engine.served_twice() == {}


async def test_two_starts_for_one_key_are_one_run() -> None:
    engine = Engine()
    engine.start()
    await engine.run()
    assert engine.served_twice() == {}
    assert len(engine.sink.runs) == len(ENTITIES)


async def test_the_same_request_never_runs_twice_and_a_new_one_after_the_end_is_a_new_run() -> None:
    engine = await Engine().run("request-1")
    first = engine.sync().run
    assert (await engine.run("request-1")).sync().run == first
    assert (await engine.run("request-2")).sync().run > first
    assert engine.sync().status == "done"


async def test_a_queued_request_runs_when_the_one_before_has_ended() -> None:
    engine = Engine()
    engine.start("request-1")
    engine.start("request-2", on_conflict="queue")
    await engine.settle()
    assert (engine.sync().request, engine.sync().status) == ("request-2", "done")
    assert set(engine.served_twice().values()) == {2}


async def test_a_restart_closes_the_run_before_and_begins_anew() -> None:
    engine = Engine()
    restarted: list[bool] = []

    def restart(request: FetchRequest) -> None:
        if request.entity.name == "a.house" and request.page == 2 and not restarted:
            restarted.append(True)
            engine.start("request-2", on_conflict="restart")

    engine.source.on_fetch = restart
    await engine.run("request-1")
    assert (engine.sync().request, engine.sync().status) == ("request-2", "done")
    first, *_ = [run for run in engine.sink.runs.values() if run.ref.entity == "a.house"]
    assert first.state != "open"
    assert engine.stored_keys() == engine.expected_keys()


async def test_a_rejected_conflict_is_a_dead_letter_with_the_reason() -> None:
    engine = Engine()
    engine.start("request-1")
    engine.start("request-2", on_conflict="reject")
    await engine.settle()
    (letter,) = engine.dead_letters()
    assert "is in progress and the request says on_conflict=reject" in letter.reason


async def test_an_ended_run_leaves_the_table_after_its_retention() -> None:
    engine = await Engine().run()
    await engine.advance(9 * 86_400)
    assert engine.stored() == {}


async def test_a_table_that_lost_its_memory_takes_a_newer_number_than_the_database_knows() -> None:
    engine = await Engine().run("request-1")
    engine.broker.logs[LogPartition(CHANGELOG, 0)].clear()
    await engine.restart()
    await engine.run("request-2")
    assert engine.sync().status == "done"


@pytest.mark.parametrize("deliveries", [2, 3])
async def test_everything_delivered_more_than_once_ends_the_same(deliveries: int) -> None:
    engine = await Engine(deliveries=deliveries).run()
    assert engine.sync().status == "done"
    assert engine.served_twice() == {}
    assert engine.stored_keys() == engine.expected_keys()


async def test_a_crash_at_every_single_point_loses_and_repeats_nothing() -> None:
    small = toy_data(houses=2, rooms=1, pets=9, guests=1, logs=5)
    reached: list[str] = []
    await Engine(data=small, may_crash=reached.append).run()
    assert len(reached) > 100
    for fatal in range(len(reached)):
        engine = await Engine(data=small, may_crash=dies_at(fatal)).run()
        assert (engine.crashes, engine.sync().status) == (1, "done"), f"crash at point {fatal}"
        assert engine.api.requested_again == [], f"crash at point {fatal}"
        assert engine.stored_keys() == engine.expected_keys()


def failing(entity: str, error: SluiceError, page: int | None = None) -> Callable[[FetchRequest], SluiceError | None]:
    def trouble(request: FetchRequest) -> SluiceError | None:
        return error if request.entity.name == entity and page in (None, request.page) else None

    return trouble
