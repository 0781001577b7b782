"""Explanations of states that the engine really went through, and of moments that are hard to catch."""

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from service.read_model.explain import EntityReason, Explanation, explain, worth_a_timeline
from service.status.store import TimelineEntry
from tables.catalog import State, read_row
from tables.kinds.entity import EntityState, Lease
from tables.kinds.sync import Child, SyncState
from tables.row import Row
from tests.engine.engine import KEY, Engine
from topics.catalog import CHANGELOG
from topics.commands import StartSync
from topics.errors import Rejected, Retryable, SluiceError

NOW = 1_700_000_000_000
UNDER = {"a.room": "a.house"}
NEEDS = {"a.house": Child("running", started_at=NOW), "a.pet": Child(hard=("a.house",))}
SYNC = SyncState("acme", "toy", "full", 1, "r1", NOW, due=NOW + 600_000, children=NEEDS)
HOUSE = EntityState("acme", "toy", "a.house", "full", "fan-out", SYNC.key, 1, 7, NOW, due=NOW + 120_000)


async def engine_with(name: str, trouble: SluiceError) -> Engine:
    engine = Engine()
    engine.source.trouble = lambda ask: trouble if ask.entity.name == name else None
    engine.start("r1")
    await engine.settle()
    return engine


def explained(engine: Engine) -> Explanation:
    rows = [read_row(record.value) for record in engine.log.records[CHANGELOG] if record.value]
    entities = {row.state.run_id: row.state for row in rows if isinstance(row.state, EntityState)}
    timelines = {row.state.key: _entries(row) for row in rows if row.state}
    return explain(engine.sync(), tuple(entities.values()), timelines, UNDER, engine.clock.now_ms)


def _entries(row: Row[State]) -> list[TimelineEntry]:
    return [
        TimelineEntry(one.seq, datetime.fromtimestamp(one.at / 1000, UTC), one.cause, one.note) for one in row.trail
    ]


def one(found: Explanation, name: str) -> EntityReason:
    return next(reason for reason in found.entities if reason.entity == name)


def house(now: int, *leases: Lease, **more: object) -> EntityReason:
    state = msgspec.structs.replace(HOUSE, leases=leases, **more)
    return one(explain(SYNC, [state], {}, {}, now), "a.house")


async def test_an_entity_that_rests_says_when_it_goes_on_and_why_it_rests() -> None:
    reason = one(explained(await engine_with("a.house", Retryable("503 from the API", 9))), "a.house")
    assert (reason.phase, reason.waits) == ("retrying", "rests before it reads pages 1 to 32 again")
    assert (reason.next, reason.next_at, reason.error) == ("attempt 2 begins", NOW + 9_000, "503 from the API")


async def test_an_entity_that_waits_names_what_it_needs_and_how_that_is() -> None:
    found = explained(await engine_with("a.house", Retryable("503 from the API")))
    assert one(found, "a.pet").waits == "waits for a.house (hard, retrying)"
    assert one(found, "a.guest").waits == "waits for a.pet (soft, waiting)"


async def test_the_run_says_in_one_sentence_what_it_waits_for() -> None:
    found = explained(await engine_with("a.house", Retryable("503 from the API", 9)))
    assert found.sentence == (
        "waits for 1 entity: a.house rests before it reads pages 1 to 32 again (in 9 s: 503 from the API); "
        "3 more can start after those"
    )


async def test_an_entity_below_another_counts_parents() -> None:
    reason = one(explained(await engine_with("a.room", Retryable("503 from the API"))), "a.room")
    assert reason.waits == "rests before it reads parents 1 to 32 of a.house again"


async def test_a_blocked_entity_names_the_one_that_began_it() -> None:
    found = explained(await engine_with("a.house", Rejected("403 from the API")))
    assert one(found, "a.room").error == "a.house failed: 403 from the API"
    assert found.sentence.startswith("failed after 0 s, 13 records: 3 of 5 entities did not complete")


async def test_a_run_that_went_well_needs_no_explanation() -> None:
    found = explained(await engine_with("nobody", Rejected("")))
    assert (found.entities, found.next, found.next_at) == ((), "", 0)
    assert found.sentence == "done after 0 s, 80 records"


async def test_the_timeline_tells_the_newest_last_and_whose_it_is() -> None:
    found = explained(await engine_with("a.house", Retryable("503 from the API", 9)))
    notes = [(happened.entity, happened.note) for happened in found.timeline]
    assert ("a.house", "unit 1 waits 9 s: 503 from the API") in notes
    assert found.timeline == tuple(sorted(found.timeline, key=lambda happened: happened.at))


async def test_queued_requests_are_named() -> None:
    engine = await engine_with("a.house", Retryable("503 from the API"))
    engine.tell(StartSync(org="acme", adapter="toy", type="full", request_id="r2", on_conflict="queue"))
    await engine.settle()
    assert explained(engine).queued == ("r2",)


def test_leases_that_are_out_are_told_as_ranges() -> None:
    reason = house(NOW + 3_000, Lease(1, 12, 9), Lease(2, 21, 20), Lease(3, 50, 1))
    assert reason.waits == "reads pages 12 to 40 and 50 (3 leases out, told or asked 3 s ago)"
    assert (reason.next, reason.next_at) == ("is asked again unless pages are told before", NOW + 120_000)


def test_leases_that_are_quiet_for_long_name_what_they_can_wait_for() -> None:
    reason = house(NOW + 40_000, Lease(1, 1, 32))
    assert "told or asked 40 s ago" in reason.waits
    assert reason.next.startswith("is asked again unless pages are told before; so long it can only wait for its turn")


def test_a_deadline_that_nobody_acts_on_is_said_to_be_overdue() -> None:
    assert "does a worker run?" in house(NOW + 180_000, Lease(1, 1, 1)).next


def test_an_entity_that_closes_its_run_waits_for_the_database() -> None:
    reason = house(NOW, status="finishing", due=NOW + 60_000)
    assert reason.waits == "waits for the database to close its run as done (told or asked 0 s ago)"


def test_an_end_that_is_quiet_for_long_names_the_database() -> None:
    reason = house(NOW + 40_000, status="finishing", due=NOW + 60_000)
    assert reason.next == (
        "is asked again unless it is told before; so long it can only wait for the database, or for a fetcher that runs"
    )


def test_an_entity_that_was_never_heard_of_was_asked_to_start() -> None:
    reason = one(explain(SYNC, [], {}, {}, NOW), "a.house")
    assert (reason.waits, reason.next_at) == ("was asked to start and has not answered yet", NOW + 600_000)


def test_an_end_that_is_on_its_way_is_told_as_such() -> None:
    assert house(NOW, status="done").waits == "has ended (done); the run has not heard of it yet"


def test_timelines_are_read_of_the_run_and_of_what_is_telling() -> None:
    states: Sequence[EntityState] = [HOUSE]
    assert worth_a_timeline(SYNC, states, 9) == [KEY, HOUSE.key]
    assert worth_a_timeline(SYNC, states, 1) == [KEY]
