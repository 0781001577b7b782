"""Explanations of states that the engine really went through, and of moments that are hard to catch."""

import msgspec

from service.read_model.explain import EntityReason, Explanation, explain, timeline_workflows
from service.read_model.times import span
from tables.kinds.entity import EntityState, Lease
from tables.kinds.sync import Child, SyncState
from tests.engine.clock import T0
from tests.engine.engine import KEY, Engine
from tests.support.published import published_states, published_timelines
from topics.errors import Rejected, Retryable, SluiceError

UNDER = {"a.room": "a.house"}
NEEDS = {"a.house": Child("running", started_at=T0), "a.pet": Child(hard=("a.house",))}
SYNC = SyncState("acme", "toy", "full", 1, "r1", T0, due=T0 + 600_000, children=NEEDS)
HOUSE = EntityState("acme", "toy", "a.house", "full", "fan-out", SYNC.key, 1, 7, T0, due=T0 + 120_000)
AFTER_SO_LONG = "unless there is a report first; after so long the entity can only wait"
DOWN = Retryable("503 from the API", 9)


async def engine_with(name: str, trouble: SluiceError) -> Engine:
    engine = Engine()
    engine.source.trouble = lambda request: trouble if request.entity.name == name else None
    engine.start("r1")
    await engine.settle()
    return engine


def explained(engine: Engine) -> Explanation:
    return explain(engine.sync(), published_states(engine), published_timelines(engine), UNDER, engine.clock.now_ms)


def one(found: Explanation, name: str) -> EntityReason:
    return next(reason for reason in found.entities if reason.entity == name)


def house(now: int, *leases: Lease, **more: object) -> EntityReason:
    state = msgspec.structs.replace(HOUSE, leases=leases, **more)
    return one(explain(SYNC, [state], {}, {}, now), "a.house")


async def test_an_entity_that_backs_off_says_when_it_continues_and_why_and_queued_requests_are_named() -> None:
    engine = await engine_with("a.house", DOWN)
    engine.start("r2", on_conflict="queue")
    await engine.settle()
    assert explained(engine).queued == ("r2",)
    reason = one(explained(engine), "a.house")
    assert (reason.phase, reason.waits) == ("retrying", "backs off before it reads pages 1 to 32 again")
    assert (reason.next, reason.error) == ("attempt 2 begins", "503 from the API")
    assert reason.next_at == engine.entity("a.house").due


async def test_an_entity_below_another_counts_parents() -> None:
    reason = one(explained(await engine_with("a.room", DOWN)), "a.room")
    assert reason.waits == "backs off before it reads parents 1 to 32 of a.house again"


async def test_a_blocked_entity_names_the_one_that_failed_first() -> None:
    found = explained(await engine_with("a.house", Rejected("403 from the API")))
    assert one(found, "a.room").error == "a.house failed: 403 from the API"
    assert found.sentence.startswith("failed after 0 s, 13 records: 3 of 5 entities did not complete")


async def test_a_run_that_went_well_needs_no_explanation() -> None:
    found = explained(await engine_with("nobody", Rejected("")))
    assert (found.entities, found.next, found.next_at) == ((), "", 0)
    took = span((found.ended_at - found.started_at) / 1000)
    assert found.sentence == f"done after {took}, 80 records"


async def test_the_timeline_names_the_entities_and_has_the_newest_entry_last() -> None:
    found = explained(await engine_with("a.house", DOWN))
    notes = [(happened.entity, happened.event) for happened in found.timeline]
    assert ("a.house", "unit 1 pauses, as it was asked to, for 9 s: 503 from the API") in notes
    assert ("", f"request r1 started run {found.run_id}") in notes
    assert found.timeline == tuple(sorted(found.timeline, key=lambda happened: happened.at))


def test_leases_that_are_out_are_named_as_ranges() -> None:
    reason = house(T0 + 3_000, Lease(1, 12, 9), Lease(2, 21, 20), Lease(3, 50, 1))
    assert reason.waits == "reads pages 12 to 40 and 50 (3 leases out, last report or request 3 s ago)"
    assert (reason.next, reason.next_at) == ("the leases are sent again unless there is a report first", T0 + 120_000)


def test_leases_without_a_result_for_long_name_what_they_can_wait_for() -> None:
    reason = house(T0 + 40_000, Lease(1, 1, 32))
    assert "last report or request 40 s ago" in reason.waits
    assert reason.next.startswith(f"the leases are sent again {AFTER_SO_LONG} for its turn under the API's limit")


def test_a_deadline_that_nobody_acts_on_is_overdue() -> None:
    assert "does a worker run?" in house(T0 + 180_000, Lease(1, 1, 1)).next


def test_an_entity_that_closes_its_run_waits_for_the_database() -> None:
    soon, late = (house(T0 + 1_000 * seconds, status="finishing", due=T0 + 60_000) for seconds in (0, 40))
    assert soon.waits == "waits for the database to close its run as done (last report or request 0 s ago)"
    assert soon.next == "the close is sent again unless there is a report first"
    assert late.next == f"the close is sent again {AFTER_SO_LONG} for the database, or for a fetcher that runs"


def test_a_start_and_an_end_that_were_not_reported_yet_are_named() -> None:
    reason = one(explain(SYNC, [], {}, {}, T0), "a.house")
    assert (reason.waits, reason.next_at) == ("was requested to start and has not started yet", T0 + 600_000)
    assert house(T0, status="done").waits == "has ended (done); the run does not know it yet"


def test_the_timelines_worth_reading_are_the_runs_own_and_then_those_of_active_entities() -> None:
    assert timeline_workflows(SYNC, [HOUSE], 9) == [KEY, HOUSE.key]
    assert timeline_workflows(SYNC, [HOUSE], 1) == [KEY]
