"""A kind of workflow that the core has never heard of, in the one engine: its timers, its child, its action."""

from collections.abc import Callable

import pytest

from tests.counter.commands import KEY, StartCounter
from tests.counter.decider import RECORD
from tests.counter.kind import WITH_COUNTER
from tests.counter.state import CounterState
from tests.engine.clock import T0
from tests.engine.engine import Engine
from tests.engine.faults import dies_at
from topics.actions import Payload, RunAction

HOUR = 3_600
DAY = 24 * HOUR
PARTITIONS = 3
DISTANCES = [0.1, 3 * HOUR, 90 * DAY, 400 * DAY]


class Recorder:
    """The activity behind a counter's action: what was recorded, by run and step."""

    def __init__(self) -> None:
        self.counts: dict[tuple[str, int, str], object] = {}

    async def __call__(self, command: RunAction) -> Payload:
        self.counts[command.workflow, command.run, command.step] = command.input["count"]
        return {"recorded": command.input["count"]}


def counting(recorder: Recorder | None = None, may_crash: Callable[[str], None] = lambda where: None) -> Engine:
    activities = {RECORD: recorder or Recorder()}
    return Engine(may_crash=may_crash, registry=WITH_COUNTER, activities=activities, partitions=PARTITIONS)


def start(engine: Engine, every: float, target: int = 1, child: str | None = None) -> None:
    engine.send(
        StartCounter(org="acme", name="beans", target=target, every_ms=int(every * 1000), child=child, request_id="r")
    )


def counter(engine: Engine, name: str = "beans") -> CounterState:
    row = engine.row(KEY.key("acme", name))
    assert row is not None
    assert isinstance(row.state, CounterState)
    return row.state


@pytest.mark.parametrize("distance", DISTANCES)
async def test_a_timer_of_any_distance_comes_once_and_on_time(distance: float) -> None:
    engine = counting()
    start(engine, distance)
    await engine.settle()
    await engine.advance(distance - 0.05)
    assert counter(engine).ticks == ()
    await engine.advance(0.1)
    await engine.advance(5 * DAY)
    (tick,) = counter(engine).ticks
    assert 0 <= tick - T0 - distance * 1000 <= 100


@pytest.mark.parametrize("distance", DISTANCES[1:])
async def test_a_timer_comes_once_over_restarts_before_and_after_its_time(distance: float) -> None:
    engine = counting()
    start(engine, distance, target=2)
    await engine.settle()
    await engine.advance(distance / 2)
    await engine.restart()
    await engine.advance(distance / 2 + 1)
    assert len(counter(engine).ticks) == 1
    await engine.restart()
    await engine.settle()
    assert len(counter(engine).ticks) == 1
    await engine.advance(distance)
    assert len(counter(engine).ticks) == 2
    assert counter(engine).status == "done"


async def test_a_timer_that_passed_while_nobody_lived_comes_at_once() -> None:
    engine = counting()
    start(engine, 3 * HOUR)
    await engine.settle()
    engine.clock.advance(5 * HOUR)
    await engine.restart()
    await engine.settle()
    assert counter(engine).status == "done"


@pytest.mark.parametrize("skew_ms", [-5 * HOUR * 1000, 5 * HOUR * 1000])
async def test_a_timer_keeps_its_distance_where_clocks_differ(skew_ms: int) -> None:
    engine = counting()
    engine.broker.skew_ms = skew_ms
    start(engine, HOUR)
    await engine.settle()
    await engine.advance(HOUR - 1)
    assert counter(engine).ticks == ()
    await engine.advance(2)
    assert len(counter(engine).ticks) == 1


async def test_a_child_in_another_partition_counts_before_its_parent_ends() -> None:
    recorder = Recorder()
    engine = counting(recorder)
    start(engine, 60, target=2, child="peas")
    assert engine.broker.partition_of(KEY.key("acme", "beans")) != engine.broker.partition_of(KEY.key("acme", "peas"))
    await engine.settle()
    for _ in range(4):
        await engine.advance(61)
    parent, child = counter(engine), counter(engine, "peas")
    assert (parent.status, child.status, len(child.ticks)) == ("done", "done", 2)
    assert child.started_at >= parent.ticks[-1]
    assert list(recorder.counts.values()) == [2, 2]


async def test_the_status_of_any_kind_is_published_with_its_parent_and_its_details() -> None:
    engine = counting()
    start(engine, 1, child="peas")
    for _ in range(3):
        await engine.advance(2)
    parent, child = engine.published.runs[counter(engine).run_id], engine.published.runs[counter(engine, "peas").run_id]
    assert (parent["kind"], parent["status"], parent["details"]) == ("counter", "done", '{"count":1,"target":1}')
    assert child["parent_run_id"] == counter(engine).run_id
    accepted = [entry for entry in engine.published.timeline if entry[-2:] == ("r", counter(engine).run_id)]
    assert len(accepted) == 1


async def test_a_crash_at_any_point_ticks_and_records_once() -> None:
    reached: list[str] = []
    await _counted(counting(may_crash=reached.append))
    for fatal in range(len(reached)):
        recorder = Recorder()
        engine = counting(recorder, may_crash=dies_at(fatal))
        await _counted(engine)
        for name in ("beans", "peas"):
            assert (counter(engine, name).status, len(counter(engine, name).ticks)) == ("done", 2), fatal
        assert len(recorder.counts) == 2, fatal


async def _counted(engine: Engine) -> None:
    start(engine, 60, target=2, child="peas")
    for _ in range(8):
        await engine.advance(61)
