from random import Random

from hypothesis import given
from hypothesis import strategies as st

from service.fetcher.offsets import Offsets


def test_nothing_is_committed_before_something_is_done() -> None:
    offsets = Offsets()
    offsets.begin(7)
    assert offsets.next_offset is None


def test_an_offset_behind_one_that_is_not_done_waits_for_it() -> None:
    offsets = Offsets()
    for offset in (7, 8):
        offsets.begin(offset)
    offsets.end(8)
    assert offsets.next_offset is None
    offsets.end(7)
    assert offsets.next_offset == 9


@given(st.sets(st.integers(0, 100), min_size=1, max_size=30), st.randoms(use_true_random=False))
def test_whatever_the_order_of_completion_all_below_the_next_offset_is_done(begun: set[int], random: Random) -> None:
    rising = sorted(begun)
    order = list(rising)
    random.shuffle(order)
    offsets, done = Offsets(), set()
    for offset in rising:
        offsets.begin(offset)
    for offset in order:
        offsets.end(offset)
        done.add(offset)
        undone = [other for other in rising if other not in done]
        expected = [other for other in rising if not undone or other < undone[0]]
        assert offsets.next_offset == (expected[-1] + 1 if expected else None)
