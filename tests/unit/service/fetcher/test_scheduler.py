from collections import Counter
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from service.fetcher.scheduler import FairQueue, OffsetTracker

IN_FLIGHT_MAX = 3
CONNECTIONS = st.lists(st.sampled_from("abcde"), max_size=60)


def queue_of(*connections: str, in_flight_max: int = IN_FLIGHT_MAX, all_max: int = 1_000) -> FairQueue[int]:
    queue: FairQueue[int] = FairQueue(all_max, in_flight_max)
    for number, connection in enumerate(connections):
        queue.add(connection, number)
    return queue


def taken(queue: FairQueue[int]) -> list[tuple[str, int]]:
    return list(iter(queue.take, None))


def test_a_connection_with_many_and_one_with_few_take_turns() -> None:
    assert taken(queue_of("a", "a", "a", "b", "a", "b")) == [("a", 0), ("b", 3), ("a", 1), ("b", 5), ("a", 2)]


def test_no_connection_has_more_in_flight_than_the_maximum() -> None:
    queue = queue_of("a", "a", "a", in_flight_max=1)
    assert (taken(queue), taken(queue), queue.waiting) == ([("a", 0)], [], 2)
    queue.done("a")
    assert taken(queue) == [("a", 1)]


def test_connections_whose_items_hang_leave_places_for_those_that_come_later() -> None:
    hanging = [f"hanging-{number}" for number in range(10)]
    queue = queue_of(*(hanging * 8), in_flight_max=8, all_max=40)
    assert Counter(connection for connection, _ in taken(queue)) == dict.fromkeys(hanging, 2)
    later = [f"later-{number}" for number in range(30)]
    for number, connection in enumerate(later):
        queue.add(connection, number)
    assert [connection for connection, _ in taken(queue)] == later[:20], "as many as there are places"


def test_dropped_items_are_forgotten_and_the_others_keep_their_order() -> None:
    queue = queue_of("a", "b", "a", "a")
    queue.drop(lambda item: item in (1, 2))
    assert (queue.waiting, taken(queue)) == (2, [("a", 0), ("a", 3)])


@given(CONNECTIONS, st.integers(1, 4))
def test_no_connection_waits_longer_than_the_others_have_turns(connections: list[str], in_flight_max: int) -> None:
    queue = queue_of(*connections, in_flight_max=in_flight_max)
    waiting = Counter(connections)
    since = dict.fromkeys(waiting, 0)
    while (turn := queue.take()) is not None:
        connection, _ = turn
        queue.done(connection)
        waiting[connection] -= 1
        for other in since:
            since[other] = 0 if other == connection or not waiting[other] else since[other] + 1
        assert max(since.values()) < len(since)
    assert queue.waiting == 0
    assert not +waiting


@given(st.sets(st.integers(0, 100), min_size=1, max_size=30), st.randoms(use_true_random=False))
def test_whatever_the_order_of_completion_exactly_the_offsets_below_the_next_one_are_done_without_a_gap(
    begun: set[int], random: Random
) -> None:
    rising = sorted(begun)
    order = random.sample(rising, len(rising))
    tracker, done = OffsetTracker(), set[int]()
    for offset in rising:
        tracker.begin(offset)
    assert (tracker.next_offset, len(tracker)) == (None, len(rising))
    for offset in order:
        tracker.end(offset)
        done.add(offset)
        undone = [other for other in rising if other not in done]
        expected = [other for other in rising if not undone or other < undone[0]]
        assert tracker.next_offset == (expected[-1] + 1 if expected else None)
        assert len(tracker) == len(undone)
