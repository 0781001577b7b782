from hypothesis import given
from hypothesis import strategies as st

from agents.core.timers import HEAP_SLACK, REPEAT_MS, PartitionTimers, Timers
from tables.row import Deadline

SETS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 20)), max_size=30)
DAY_MS = 86_400_000
DISTANCES = st.integers(100, 400 * DAY_MS)
SKEWS = st.integers(-400 * DAY_MS, 400 * DAY_MS)
START = 1_700_000_000_000


def timers(*entries: tuple[str, int]) -> Timers:
    made = Timers()
    for key, due in entries:
        made.set(key, Deadline(due), 0)
    return made


def test_a_deadline_is_delivered_when_it_has_passed_and_again_until_it_is_moved() -> None:
    made = timers(("a", 5))
    times = (4, 5, 6, 4 + REPEAT_MS, 5 + REPEAT_MS, 6 + REPEAT_MS)
    assert [made.pop_due(now) for now in times] == [[], [("a", 5)], [], [], [("a", 5)], []]
    made.set("a", Deadline(0), 0)
    assert made.pop_due(9 * REPEAT_MS) == []


@given(SETS, st.integers(0, 25))
def test_whatever_was_set_before_the_last_deadline_of_each_counts(entries: list[tuple[str, int]], now: int) -> None:
    last = dict(entries)
    expected = {key: due for key, due in last.items() if 0 < due <= now}
    made = timers(*entries)
    assert dict(made.pop_due(now)) == expected
    assert dict(made.pop_due(25)) == {key: due for key, due in last.items() if due > now}


@given(DISTANCES, SKEWS)
def test_a_deadline_of_any_distance_is_delivered_exactly_whatever_the_clocks_say(distance: int, skew: int) -> None:
    """Ours is ahead of the broker's by `skew`: what comes too early is postponed by what the broker's clock lacks."""
    made, due = Timers(), START + distance
    made.set("a", Deadline(due, START), START + skew)
    early = sorted(passed for passed in {0, distance - skew, distance // 2, distance - 1} if 0 <= passed < distance)
    for passed in early:
        for key, popped in made.pop_due(START + skew + passed):
            assert popped == due
            made.postpone(key, due, START + skew + distance)
    assert made.pop_due(START + skew + distance) == [("a", due)]


def test_a_deadline_that_was_moved_is_not_postponed_to_where_it_was() -> None:
    made = timers(("a", 5), ("a", 9))
    made.postpone("a", 5, 20)
    assert made.pop_due(9) == [("a", 9)]


def test_a_deadline_set_again_unchanged_keeps_its_time() -> None:
    made = Timers()
    for now in (0, 50, 99):  # the broker's clock is ahead: the distance counts, from the first time on
        made.set("a", Deadline(1_100, 1_000), now)
    assert [made.pop_due(now) for now in (99, 100)] == [[], [("a", 1_100)]]


def test_its_memory_is_bounded_by_the_workflows_that_live_and_not_by_their_runs() -> None:
    made = Timers()
    for run in range(10_000):
        made.set(f"gone-{run}", Deadline(run + 1), 0)
        made.set(f"gone-{run}", Deadline(), 0)
        made.set("alive", Deadline(START + run), 0)
    assert len(made) <= 2 + HEAP_SLACK
    assert made.pop_due(START + 10_000) == [("alive", START + 9_999)]


def test_deadlines_are_delivered_by_partition_and_after_an_assignment_for_those_that_are_held() -> None:
    made = PartitionTimers()
    made.of(3).set("a", Deadline(5), 0)
    made.of(3).set("b", Deadline(9), 0)
    made.of(4).set("c", Deadline(5), 0)
    assert made.pop_due(6) == {3: [("a", 5)], 4: [("c", 5)]}
    assert made.pop_due(6) == {}
    made.rebuild({4: [("c", Deadline(5))], 5: []}, 0)
    assert made.pop_due(9) == {4: [("c", 5)]}
