"""Progress: views of states that the engine really went through."""

import msgspec
import pytest

from service.read_model.progress import RunProgress, RunView, Snapshot
from tables.kinds.entity import EntityState, Lease
from tables.kinds.sync import Child, SyncState
from tests.engine.clock import T0
from tests.engine.engine import Engine
from tests.support.published import published_states
from topics.errors import Rejected, Retryable, SluiceError

SYNC = SyncState("acme", "toy", "full", 1, "r1", T0, children={"a.house": Child("running", started_at=T0)})
HOUSE = EntityState("acme", "toy", "a.house", "full", "fan-out", SYNC.key, 1, 7, T0)


def snapshot(seconds: float, sync: SyncState = SYNC, *entities: EntityState) -> Snapshot:
    return Snapshot(100 + seconds, T0 + int(seconds * 1000), sync, entities)


def house(units: int, **more: object) -> EntityState:
    return msgspec.structs.replace(HOUSE, units=units, pages=units, records=units * 100, last_unit=100, **more)


async def seen(trouble: dict[str, SluiceError]) -> tuple[Engine, RunView]:
    engine = Engine()
    engine.source.trouble = lambda request: trouble.get(request.entity.name)
    engine.start("r1")
    await engine.settle()
    return engine, RunProgress().view(Snapshot(0.0, engine.clock.now_ms, engine.sync(), published_states(engine)))


async def test_a_run_that_went_well_has_all_its_records() -> None:
    _, view = await seen({})
    assert (view.status, view.records, view.counts) == ("done", 9 + 45 + 13 + 3 + 10, {"done": 5})
    assert view.last_error == ""


async def test_an_entity_that_is_retried_says_why_and_when_and_those_that_wait_name_it() -> None:
    engine, view = await seen({"a.house": Retryable("503 from the API", 9)})
    first = next(one for one in view.entities if one.name == "a.house")
    (lease,) = engine.entity("a.house").leases
    assert (first.phase, first.reason, first.resume_at) == ("retrying", "503 from the API", lease.resume_at)
    assert view.last_error == "a.house: 503 from the API"
    waits = {one.name: one.waits_for for one in view.entities if one.phase == "waiting"}
    assert waits == {"a.guest": ("a.pet",), "a.pet": ("a.house",), "a.room": ("a.house",)}


def test_entities_of_a_run_that_was_lost_have_ended_with_it() -> None:
    lost = msgspec.structs.replace(SYNC, status="failed", reason="gone", ended_at=T0 + 9)
    view = RunProgress().view(snapshot(1, lost, msgspec.structs.replace(HOUSE, status="failed", reason="gone")))
    assert [(one.phase, one.reason) for one in view.entities] == [("cancelled", "gone")]


async def test_entities_that_failed_or_are_blocked_stand_above_those_that_are_done() -> None:
    _, view = await seen({"a.house": Rejected("403 from the API")})
    assert [(one.name, one.phase) for one in view.entities[:3]] == [
        ("a.house", "failed"), ("a.pet", "blocked"), ("a.room", "blocked"),
    ]  # fmt: skip
    assert [one.phase for one in view.entities[3:]] == ["done", "done"]
    assert view.entities[0].reason == "403 from the API"


def test_a_rate_is_of_its_window_and_the_remaining_time_is_estimated_from_it() -> None:
    progress = RunProgress()
    for second in range(21):
        view = progress.view(snapshot(second, SYNC, house(min(second, 10) + 4 * max(second - 10, 0))))
    [one] = view.entities
    assert (one.pages, one.pages_total, one.done_part) == (50, 100, 0.5)
    assert one.records_per_second == view.records_per_second == 400
    assert one.eta_seconds == pytest.approx(50 / 4)


def test_the_first_view_of_a_run_in_progress_takes_the_average_so_far() -> None:
    view = RunProgress().view(snapshot(10, SYNC, house(20)))
    assert view.records_per_second == 200
    assert view.entities[0].eta_seconds == pytest.approx(40)


def test_an_entity_that_begins_again_has_no_negative_rate() -> None:
    progress = RunProgress()
    progress.view(snapshot(5, SYNC, house(50)))
    view = progress.view(snapshot(6, SYNC, house(50), house(1, run=8)))
    assert (view.pages, view.records_per_second, view.entities[0].eta_seconds) == (1, 0, None)


def test_entities_of_an_older_run_do_not_count() -> None:
    assert RunProgress().view(snapshot(5, SYNC, house(50, parent_run=0))).pages == 0


def test_a_source_that_has_more_than_it_claimed_is_never_over_the_end() -> None:
    [one] = RunProgress().view(snapshot(5, SYNC, house(120))).entities
    assert (one.pages_total, one.done_part) == (120, 1.0)


def test_a_chain_has_no_known_number_of_pages() -> None:
    chain = msgspec.structs.replace(HOUSE, mode="chain", units=3, pages=12, total_units=6)
    [one] = RunProgress().view(snapshot(5, SYNC, chain)).entities
    assert (one.pages, one.pages_total, one.done_part) == (12, None, 0.5)


def test_quiet_time_is_counted_from_the_last_change() -> None:
    progress, changes = RunProgress(), [(0, 1), (10, 1), (20, 2), (50, 2)]
    quiet = [progress.view(snapshot(second, SYNC, house(units))).quiet_seconds for second, units in changes]
    assert quiet == [0, 10, 0, 30]


def test_an_ended_entity_keeps_the_counts_of_the_database() -> None:
    child = Child("done", started_at=T0, ended_at=T0 + 2_000, run_id="x@7", pages=3, records=300, rejected=1)
    sync = msgspec.structs.replace(SYNC, children={"a.house": child})
    [one] = RunProgress().view(snapshot(9, sync, house(1, leases=(Lease(1, 1, 1),)))).entities
    assert (one.phase, one.pages, one.records, one.rejected, one.records_per_second) == ("done", 3, 300, 1, 150)
