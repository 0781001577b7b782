from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from service.fetcher.fair_queue import FairQueue

PER_CONNECTION_MAX = 3
CONNECTIONS = st.lists(st.sampled_from("abcde"), max_size=60)


def turns(*connections: str, most: int = PER_CONNECTION_MAX) -> FairQueue[int]:
    made: FairQueue[int] = FairQueue(most)
    for number, connection in enumerate(connections):
        made.add(connection, number)
    return made


def taken(made: FairQueue[int]) -> list[tuple[str, int]]:
    found = []
    while (turn := made.take()) is not None:
        found.append(turn)
    return found


def test_a_connection_with_many_and_one_with_few_take_turns() -> None:
    assert taken(turns("a", "a", "a", "b", "a", "b")) == [("a", 0), ("b", 3), ("a", 1), ("b", 5), ("a", 2)]


def test_nobody_has_more_in_hand_than_the_most() -> None:
    made = turns("a", "a", "a", most=1)
    assert (taken(made), taken(made), made.waiting) == ([("a", 0)], [], 2)
    made.done("a")
    assert taken(made) == [("a", 1)]


def test_with_nobody_waiting_there_is_no_turn() -> None:
    assert turns().take() is None


def test_what_is_lost_is_forgotten_and_the_rest_keeps_its_order() -> None:
    made = turns("a", "b", "a", "a")
    made.drop(lambda item: item in (1, 2))
    assert (made.waiting, taken(made)) == (2, [("a", 0), ("a", 3)])


@given(CONNECTIONS, st.integers(1, 4))
def test_no_connection_waits_longer_than_the_others_have_turns(connections: list[str], most: int) -> None:
    made = turns(*connections, most=most)
    waiting = Counter(connections)
    since = dict.fromkeys(waiting, 0)
    while (turn := made.take()) is not None:
        connection, _ = turn
        made.done(connection)
        waiting[connection] -= 1
        for other in since:
            since[other] = 0 if other == connection or not waiting[other] else since[other] + 1
        assert max(since.values()) < len(since)
    assert made.waiting == 0
    assert not +waiting


@given(CONNECTIONS)
def test_the_items_of_one_connection_keep_their_order(connections: list[str]) -> None:
    found = taken(turns(*connections, most=len(connections) + 1))
    assert len(found) == len(connections)
    for connection in set(connections):
        mine = [item for owner, item in found if owner == connection]
        assert mine == sorted(mine)
