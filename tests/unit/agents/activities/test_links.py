"""Chains of stable links: pages hold everything if they lead, link by link, from the first to the last."""

import pytest

from agents.activities.links import FIRST, OpenEnd, fingerprint, open_end
from agents.ledger import Extent
from agents.ports import LedgerLine
from topics.command import Counts
from topics.errors import Rejected


def page(number: int, link: str | None, following: str | None) -> LedgerLine:
    extent = Extent(None, fingerprint(link), fingerprint(following) if following else None)
    return LedgerLine("", number, Counts(1, 2, 0), following is None, following, extent)


def test_nothing_leads_on_from_a_chain_that_was_read_to_its_end() -> None:
    assert open_end([page(1, None, "a"), page(2, "a", "b"), page(3, "b", None)]) is None


def test_a_chain_of_which_nothing_is_known_begins_with_its_first_page() -> None:
    assert open_end([]) == OpenEnd(1, None)
    assert fingerprint(None) == FIRST


def test_a_chain_that_lost_its_last_pages_is_read_on_behind_the_others() -> None:
    assert open_end([page(1, None, "a"), page(2, "a", "b")]) == OpenEnd(3, "b")


def test_a_chain_that_lost_a_page_in_the_middle_is_read_on_from_there_under_new_numbers() -> None:
    rest = [page(1, None, "a"), page(3, "b", "c"), page(4, "c", None)]
    assert open_end(rest) == OpenEnd(5, "a")


def test_a_page_that_was_read_again_meets_those_behind_the_lost_one_only_if_it_names_the_same_link() -> None:
    rest = [page(1, None, "a"), page(3, "b", "c"), page(4, "c", None)]
    assert open_end([*rest, page(5, "a", "b")]) is None
    assert open_end([*rest, page(5, "a", "aa")]) == OpenEnd(6, "aa")
    assert open_end([*rest, page(5, "a", "aa"), page(6, "aa", None)]) is None


def test_a_cycle_is_rejected() -> None:
    with pytest.raises(Rejected, match="the links of 3 pages lead back to one before: a loop"):
        open_end([page(1, None, "a"), page(2, "a", "b"), page(3, "b", "a")])
