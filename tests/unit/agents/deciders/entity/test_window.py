import pytest

from agents.concurrency import UNITS_PER_LEASE
from agents.deciders.entity.window import FIRST_UNITS, LEASE_UNITS_MAX, PARENTS_PER_LEASE_MAX
from tests.support.entity_run import CHILD, LOG, F, done, fetch, head, last, sole, started
from topics.ids import derive_id


def test_a_known_total_fans_out_in_a_window_of_leases() -> None:
    spread = started().when(head(99, 100))
    spread.then(fetch(2, F + 1, 10), fetch(3, F + 11, 10), fetch(4, F + 21, 10), fetch(5, F + 31, 10))
    spread.having(total_units=F + 99, last_unit=F + 99)


def test_a_lease_grows_at_most_eightfold() -> None:
    started().when(head(1_000, 0)).having(size=8 * FIRST_UNITS)


def test_a_slow_source_gets_small_leases_but_is_asked_for_several_pages_at_once() -> None:
    started().given(head(89, 100)).when(done(2, 10, elapsed_ms=16_000)).having(size=UNITS_PER_LEASE)
    started(LOG).when(done(1, 8, key=LOG, next_cursor="page-9", elapsed_ms=16_000)).having(size=1)


def test_a_lease_without_units_says_nothing_about_the_next_ones_size() -> None:
    started(CHILD).when(done(1, 0, key=CHILD, elapsed_ms=9_000, next_cursor="h1")).having(size=F)


def test_a_lease_has_a_largest_size_and_one_of_parents_a_smaller_one() -> None:
    grown = started()
    for lease in range(1, 6):
        units = grown.state.leases[0].units
        grown.given(done(lease, units, total_units=10**6, elapsed_ms=0))
    grown.having(size=LEASE_UNITS_MAX)
    grown = started(CHILD)
    for lease in range(1, 5):
        grown.given(done(lease, grown.state.leases[0].units, key=CHILD, elapsed_ms=0, next_cursor=f"h{lease}"))
    grown.having(size=PARENTS_PER_LEASE_MAX)


def test_the_last_lease_ends_where_the_total_does() -> None:
    started().when(head(10, 125)).then(fetch(2, F + 1, 8), fetch(3, F + 9, 2))


def test_a_partial_lease_is_followed_by_one_for_its_rest() -> None:
    spread = started().given(head(8, 125))
    spread.when(done(2, 3)).then(sole(3, F + 4, 5)).having(units=F + 3)


def test_a_total_that_is_too_small_is_read_past() -> None:
    started().when(head(0, 1_000)).then(sole(2, F + 1)).having(last_unit=F + 1)


@pytest.mark.parametrize("claim", [None, 0, 2])
def test_of_a_first_lease_that_got_half_way_no_unit_is_passed_over(claim: int | None) -> None:
    # What nobody claims to be there is not leased yet, so it must still be leased when it shows.
    slow = started().when(done(1, 2, total_units=claim)).then(sole(2, 3))
    slow.when(done(2, 1, total_units=claim)).then(sole(3, 4))


def test_of_a_first_lease_that_got_half_way_only_what_there_is_continues() -> None:
    started().when(done(1, 2, total_units=6)).then(sole(2, 3, 4)).having(next_unit=7)


def test_a_total_that_is_too_large_ends_where_the_source_does() -> None:
    spread = started().given(head(99, 100))
    for lease in (2, 3, 4):
        spread.when(done(lease, 1, end=True)).then()
    spread.when(done(5, 1, end=True)).then(last(6, F + 31, pages=F + 4)).having(units=F + 4)


def test_an_end_found_early_leases_nothing_more() -> None:
    spread = started().given(head(16, 500))
    spread.when(done(2, 1, end=True)).then().having(last_unit=F + 1, units=F + 1)


def test_a_chain_continues_from_the_cursor_one_lease_at_a_time() -> None:
    chain = started(LOG).when(done(1, 1, key=LOG, next_cursor="page-2", elapsed_ms=250, total_units=50))
    chain.then(sole(2, 2, 4, key=LOG, cursor="page-2", landmark=derive_id("page-2"))).having(last_unit=None)
    chain.when(done(2, 2, key=LOG, next_cursor="page-4")).having(total_units=50)
    chain.then(sole(3, 4, 1, key=LOG, cursor="page-4", landmark=derive_id("page-4")))


def test_a_chain_keeps_a_landmark_until_it_is_twice_as_long() -> None:
    chain, landmarks = started(LOG), []
    for lease in range(1, 9):
        chain.given(done(lease, 1, key=LOG, next_cursor=f"page-{lease + 1}", elapsed_ms=9_000))
        landmarks.append(chain.state.landmark)
    assert landmarks == [derive_id(f"page-{page}") for page in (2, 2, 4, 4, 4, 4, 8, 8)]


def test_a_chain_ends_where_its_last_page_says_so() -> None:
    started(LOG).when(done(1, 1, key=LOG, end=True)).then(last(2, 1, key=LOG, pages=1)).having(last_unit=1)


def test_an_entity_without_parents_is_done_with_no_unit() -> None:
    started(CHILD).when(done(1, 0, key=CHILD, end=True)).then(last(2, 0, key=CHILD)).having(units=0, last_unit=0)
