from hypothesis import given
from hypothesis import strategies as st

from agents.core.timers import DOUBT_MS, RETIRES_MS_MIN, WAIT_MS_MAX, PartitionTimers, Timers
from agents.deciders import entity, sync

SETS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 20)), max_size=30)


def timers(*entries: tuple[str, int]) -> Timers:
    made = Timers()
    for key, due in entries:
        made.set(key, due, 0)
    return made


def test_a_deadline_is_told_when_it_has_passed_and_once() -> None:
    made = timers(("a", 5))
    assert [made.pop_due(now) for now in (4, 5, 6)] == [[], [("a", 5)], []]


def test_a_deadline_that_was_moved_counts_at_its_new_time() -> None:
    assert timers(("a", 5), ("a", 9)).pop_due(8) == []
    assert timers(("a", 9), ("a", 5)).pop_due(8) == [("a", 5)]


def test_a_deadline_that_was_taken_away_is_never_told() -> None:
    assert timers(("a", 5), ("a", 0)).pop_due(9) == []


@given(SETS, st.integers(0, 25))
def test_whatever_was_set_before_the_last_deadline_of_each_counts(entries: list[tuple[str, int]], now: int) -> None:
    last = dict(entries)
    expected = {key: due for key, due in last.items() if 0 < due <= now}
    made = timers(*entries)
    assert dict(made.pop_due(now)) == expected
    assert dict(made.pop_due(25)) == {key: due for key, due in last.items() if due > now}


def test_deadlines_are_told_by_partition() -> None:
    made = PartitionTimers()
    made.update(3, [("a", 5), ("b", 9)], 0)
    made.update(4, [("c", 5)], 0)
    assert made.pop_due(6) == {3: [("a", 5)], 4: [("c", 5)]}
    assert made.pop_due(6) == {}


def test_after_an_assignment_only_the_partitions_that_are_held_count() -> None:
    made = PartitionTimers()
    made.update(3, [("a", 5)], 0)
    made.rebuild({4: [("c", 5)], 5: []}, 0)
    assert made.pop_due(9) == {4: [("c", 5)]}


HOUR_MS = 3_600_000


def test_a_deadline_further_off_than_anybody_waits_is_told_soon_and_again_when_it_is_due() -> None:
    """The broker's clock was an hour ahead when it was set."""
    made = timers(("a", HOUR_MS))
    assert [made.pop_due(now) for now in (DOUBT_MS - 1, DOUBT_MS, HOUR_MS - 1, HOUR_MS)] == [
        [], [("a", HOUR_MS)], [], [("a", HOUR_MS)],
    ]  # fmt: skip


def test_a_doubted_deadline_that_was_moved_is_not_doubted_any_more() -> None:
    assert timers(("a", HOUR_MS), ("a", WAIT_MS_MAX)).pop_due(DOUBT_MS) == []


def test_a_record_that_leaves_the_table_after_days_is_left_alone() -> None:
    assert timers(("a", RETIRES_MS_MIN)).pop_due(DOUBT_MS) == []


def test_nobody_waits_as_long_as_what_is_doubted() -> None:
    waits = (entity.LEASE_DEADLINE_MS, entity.FINISH_DEADLINE_MS, entity.RETRY_LONGEST_SECONDS * 1000)
    assert max(*waits, sync.PROGRESS_DEADLINE_MS) < WAIT_MS_MAX
    assert min(entity.RETENTION_MS, sync.RETENTION_MS) > RETIRES_MS_MIN
