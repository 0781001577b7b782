"""What is handed over within a partition, without a message: enough for a step, if it was that and not twice."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.checker.builders import KEY, MAIN, at, entry, whole_run
from tests.checker.entries import Entry
from tests.checker.invariants.families import main_syncs_and_entities_agree
from tests.checker.invariants.journal import journal_is_gapless
from topics.commands import CancelRun, ChildDone, RetryNow, StaleRun, StartEntity

NAME = "people.person"
OTHER = "x" * 32
FIRST = entry(1, leases=((1, 1, 1),), last_offset=at(), trail=((1, OTHER),))
STARTED = StartEntity(workflow=KEY, parent=MAIN, parent_run=60).id
CANCELLED = CancelRun(workflow=KEY, run=50, reason="why").id
NUDGED = RetryNow(workflow=KEY, request_id="n").id
REPORTABLE = ChildDone(workflow=MAIN, parent_run=100, entity=NAME, child_run_id="", outcome="done").id
OUTNUMBERED = StaleRun(workflow=MAIN, parent_run=100, newest=150).id
NEXT: dict[str, Any] = {
    "parent_run": 60,
    "run": 101,
}  # what a start by the next run of the main sync makes of the entity


def by_hand(seq: int, *causes: str, like: Entry = FIRST, **more: Any) -> Entry:
    """A later record, at the same position in all topics; the last steps had these causes."""
    trail = tuple(enumerate(causes, seq - len(causes) + 1))
    return replace(like, seq=seq, offset=seq, state=str(seq).encode(), trail=trail, **more)


def main(seq: int, *causes: str, status: str = "running", child: str = "running", run: int = 100) -> Entry:
    known = replace(FIRST, key=MAIN, kind="sync", parent="", parent_run=0, leases=())
    return by_hand(seq, *causes, like=known, status=status, run=run, children=(NAME,), child_statuses=(child,))


def wrong(*journal: Entry, nudges: int = 0) -> Sequence[str]:
    evidence = replace(whole_run(), journal=journal, nudges={MAIN: {"n": nudges}})
    return journal_is_gapless(evidence).violations


def test_a_start_of_the_next_run_may_come_by_hand() -> None:
    assert wrong(FIRST, by_hand(2, STARTED, **NEXT)) == []


def test_a_cancel_may_come_by_hand() -> None:
    assert wrong(FIRST, by_hand(2, CANCELLED, status="finishing", leases=())) == []


def test_an_end_may_be_told_by_hand() -> None:
    assert wrong(main(1), main(2, REPORTABLE, child="done")) == []


def test_a_main_sync_may_be_outnumbered_by_hand_if_an_entity_has_met_a_newer_run() -> None:
    met = entry(1, parent_run=150)
    assert wrong(main(1), main(2, OUTNUMBERED, run=151), met) == []
    assert "0 can have been handed over" in wrong(main(1), main(2, OUTNUMBERED, run=151))[0]


@pytest.mark.parametrize(
    "after",
    [
        by_hand(2, OTHER, **NEXT),
        by_hand(2, STARTED),
        by_hand(2, CANCELLED),
        by_hand(2, OTHER, status="finishing", leases=()),
        by_hand(2, NUDGED, units=1),
        by_hand(2, units=1),
    ],
)
def test_a_step_is_by_hand_if_the_command_behind_it_had_its_effect(after: Entry) -> None:
    assert "0 can have been handed over" in wrong(FIRST, after, nudges=1)[0]


def test_an_end_that_is_counted_twice_is_found() -> None:
    assert len(wrong(main(1), main(2, REPORTABLE, child="done"), main(3, REPORTABLE, REPORTABLE, child="done"))) == 1


def test_a_nudge_is_handed_on_once_for_each_time_that_it_was_sent() -> None:
    once, twice = by_hand(2, NUDGED), by_hand(3, NUDGED, NUDGED)
    assert wrong(FIRST, once, nudges=1) == []
    assert wrong(FIRST, once, twice, nudges=2) == []
    assert len(wrong(FIRST, once, twice, nudges=1)) == 1
    assert len(wrong(FIRST, once)) == 1


def test_of_what_a_store_alone_kept_the_notable_steps_may_have_come_by_hand() -> None:
    assert wrong(FIRST, by_hand(3, CANCELLED, STARTED, **NEXT)) == []
    assert "1 can have been handed over" in wrong(FIRST, by_hand(3, STARTED, **NEXT))[0]


def test_a_trail_that_is_full_may_have_forgotten_steps_by_hand() -> None:
    full = [OTHER] * 16
    assert wrong(FIRST, by_hand(21, *full)) == []
    assert "15 can have been handed over" in wrong(FIRST, by_hand(21, *full[1:]))[0]


def test_a_start_by_a_client_never_comes_by_hand() -> None:
    evidence = replace(whole_run(), journal=(FIRST, by_hand(3, CANCELLED, STARTED)), seen=frozenset({CANCELLED}))
    assert "1 can have been handed over" in journal_is_gapless(evidence).violations[0]


def kin(*journal: Entry) -> Sequence[str]:
    return main_syncs_and_entities_agree(replace(whole_run(), journal=journal, asked=frozenset())).violations


def test_an_entity_is_under_a_run_that_its_main_sync_had() -> None:
    assert kin(main(1, run=50), FIRST) == []
    assert "which main-sync:acme:pco:full never had" in kin(main(1, run=49), FIRST)[0]


def test_a_record_that_was_put_aside_tells_of_a_run_too() -> None:
    assert kin(main(1, OTHER, run=50), replace(main(1, run=51), generation=2), FIRST) == []


@pytest.mark.parametrize(
    "main_syncs",
    [
        (main(1, run=40), main(2, run=60)),
        (main(1, status="done", run=40), main(3, run=60)),
        (main(2, OTHER, OTHER, run=60),),
    ],
)
def test_a_run_may_have_left_no_record_where_one_was_given_up_or_only_a_store_kept_some(
    main_syncs: tuple[Entry, ...],
) -> None:
    assert kin(*main_syncs, FIRST) == []


def test_a_run_between_two_that_followed_each_other_is_found() -> None:
    assert len(kin(main(1, status="done", run=40), main(2, run=60), FIRST)) == 1


def test_what_a_main_sync_calls_done_was_done_under_its_run() -> None:
    said = main(2, child="done", run=50)
    assert kin(main(1, run=50), FIRST, by_hand(2, status="done"), said) == []
    assert "people.person is called done" in kin(main(1, run=50), FIRST, said)[0]
    other = main(3, child="done", run=60)
    assert len(kin(main(1, run=50), FIRST, by_hand(2, status="done"), said, other)) == 1
