from dataclasses import replace

import pytest

from tests.checker.builders import KEY, MAIN, at, entry, run, told, whole_run
from tests.checker.check import check
from tests.checker.entries import Entry
from tests.checker.evidence import Evidence, LogFacts
from tests.checker.formats import tombstone
from tests.checker.invariants.counts import state_is_the_fold
from tests.checker.invariants.journal import journal_is_gapless, journal_is_legal, journal_is_whole
from tests.checker.invariants.runs import runs_end_or_wait


def journal(*entries: Entry) -> Evidence:
    """The run with another journal."""
    return replace(whole_run(), journal=entries)


def main_sync(like: Entry, **children: str) -> Entry:
    """A record of the main sync that runs, with its entities in these states."""
    names, statuses = tuple(children), tuple(children.values())
    return replace(like, key=MAIN, kind="sync", status="running", children=names, child_statuses=statuses)


FIRST, SECOND, LAST = whole_run().journal


def test_a_run_that_is_in_order_breaks_no_promise() -> None:
    assert check(whole_run()) == []


def test_a_topic_that_lacks_a_record_is_not_whole() -> None:
    logs = (
        LogFacts("page-done", 3, 0, 9, 8, holes=(4,)),
        LogFacts("control", 0, 2, 9, 7),
        LogFacts("control", 1, 0, 9, 7),
    )
    found = journal_is_whole(replace(whole_run(), logs=logs)).violations
    assert [sentence.split(",")[0].split(":")[0] for sentence in found] == [
        "page-done/3 lacks records",
        "control/0 begins at 2",
        "control/1 ends at 9",
    ]


def test_a_record_that_disagrees_with_its_own_head_is_found() -> None:
    assert "do not agree" in journal_is_whole(journal(replace(FIRST, head_agrees=False))).violations[0]


def test_a_record_that_is_left_out_is_a_gap() -> None:
    (gap,) = journal_is_gapless(journal(FIRST, LAST)).violations
    assert "seq 2 to 2 are missing" in gap


def test_what_a_store_alone_kept_is_put_again_for_each_message_behind_it() -> None:
    again = replace(LAST, offset=9)
    found = journal_is_gapless(journal(FIRST, LAST, again))
    assert found.violations == []
    assert found.figures["kept by a store alone"] == 1


def test_a_claim_by_a_newer_generation_counts_as_putting_again() -> None:
    claimed = replace(LAST, offset=9, generation=2)
    assert journal_is_gapless(journal(FIRST, LAST, claimed)).violations == []


def test_a_message_that_is_counted_twice_is_a_step_without_a_message() -> None:
    twice = entry(4, status="done", last_offset=at(page_done=1))
    (sentence,) = journal_is_gapless(journal(FIRST, SECOND, LAST, twice)).violations
    assert "but 0 messages came in" in sentence


def test_what_a_store_alone_kept_may_be_put_again_when_something_newer_has_come() -> None:
    evidence = replace(whole_run(), events={**whole_run().events, ("control", 0, KEY): [0, 1]})
    newer = entry(4, status="done", records=12, last_offset=at(control=1, page_done=1))
    assert len(journal_is_gapless(replace(evidence, journal=(FIRST, LAST, newer))).violations) == 1
    again = replace(newer, offset=9)
    assert journal_is_gapless(replace(evidence, journal=(FIRST, LAST, newer, again))).violations == []


def test_two_records_under_one_number_are_found() -> None:
    other = entry(2, units=9, offset=7, last_offset=at(page_done=0))
    assert "another record has this number" in journal_is_gapless(journal(FIRST, SECOND, other)).violations[0]


def test_what_a_frozen_process_writes_late_loses_and_is_counted() -> None:
    claimed = replace(SECOND, generation=2, offset=5)
    late = entry(9, status="cancelled", offset=6)
    last = replace(LAST, generation=2, offset=7)
    found = journal_is_gapless(journal(FIRST, SECOND, claimed, late, last))
    assert (found.violations, found.figures["stale"]) == ([], 1)


def test_what_a_frozen_process_began_late_is_put_aside_by_one_that_knows_nothing_of_it() -> None:
    other = replace(FIRST, key="entity-sync:acme:pco:people.email:full", offset=0, generation=2)
    anew = replace(SECOND, generation=2, trail=((2, "c"),))
    assert journal_is_gapless(journal(other, FIRST, anew)).figures["put aside"] == 1
    goes_on, own = replace(anew, trail=((1, "c"), (2, "c"))), replace(FIRST, generation=2)
    for entries in ((other, FIRST, goes_on), (other, own, anew), (FIRST, anew)):
        assert journal_is_gapless(journal(*entries)).figures["put aside"] == 0


def test_what_an_older_generation_wrote_unseen_is_put_aside() -> None:
    unseen = entry(2, status="finishing", last_offset=at(page_done=0))
    newer = (replace(FIRST, generation=2, offset=5), replace(SECOND, generation=2), replace(LAST, generation=2))
    evidence = journal(FIRST, unseen, *newer)
    assert journal_is_gapless(evidence).figures["put aside"] == 1
    assert check(evidence) == []


def test_a_refused_message_moves_the_position_and_nothing_else() -> None:
    moved = replace(FIRST, offset=8, last_offset=at(control=5))
    assert journal_is_gapless(journal(FIRST, moved)).violations == []


def test_a_position_that_goes_back_is_found() -> None:
    back = replace(SECOND, last_offset=at(control=-1, page_done=0))
    assert "goes back" in journal_is_legal(journal(FIRST, back)).violations[0]


def test_a_workflow_on_two_partitions_is_found() -> None:
    found = journal_is_gapless(journal(FIRST, replace(SECOND, partition=1))).violations
    assert any("on partitions [0, 1]" in sentence for sentence in found)


@pytest.mark.parametrize(
    ("before", "after"), [("done", "fetching"), ("finishing", "fetching"), ("fetching", "failed"), ("done", "failed")]
)
def test_a_status_that_no_arrow_leads_to_is_found(before: str, after: str) -> None:
    found = journal_is_legal(journal(FIRST, entry(2, status=before), entry(3, status=after))).violations
    assert any(f"from {before} to {after}" in sentence for sentence in found)


def test_a_workflow_begins_at_the_beginning_unless_only_a_store_kept_that() -> None:
    assert "its first record is done" in journal_is_legal(journal(LAST)).violations[0]
    assert journal_is_legal(journal(LAST, LAST)).violations == []


def test_counts_never_fall_within_a_run() -> None:
    assert (
        "records fall from 7 to 3" in journal_is_legal(journal(FIRST, SECOND, replace(LAST, records=3))).violations[0]
    )


def test_an_older_run_does_not_follow_a_newer_one() -> None:
    assert "the older run 99" in journal_is_legal(journal(FIRST, entry(4, run=99, last_offset=at()))).violations[0]


def test_a_run_that_goes_on_is_not_replaced_for_nothing() -> None:
    assert (
        "begins while run 100 is fetching"
        in journal_is_legal(journal(FIRST, entry(2, run=101, last_offset=at()))).violations[0]
    )


@pytest.mark.parametrize("why", [{"parent_run": 51}, {"fenced": 1}])
def test_a_newer_parent_and_a_fence_take_a_run_over(why: dict[str, int]) -> None:
    assert journal_is_legal(journal(FIRST, entry(2, run=101, last_offset=at(), **why))).violations == []


def test_a_main_sync_begins_anew_only_if_it_was_outnumbered() -> None:
    first, second = main_sync(entry(1)), main_sync(entry(2, run=101))
    evidence = journal(first, second)
    assert len(journal_is_legal(evidence).violations) == 1
    assert journal_is_legal(replace(evidence, outnumbered=frozenset({(MAIN, 100)}))).violations == []


def test_an_entity_of_a_main_sync_takes_no_way_back() -> None:
    first = main_sync(entry(1), a="running", b="waiting")
    second = main_sync(entry(2), a="done", b="running")
    assert journal_is_legal(journal(first, second)).violations == []
    assert "a from done to running" in journal_is_legal(journal(second, replace(first, seq=3))).violations[0]


def test_a_record_leaves_the_table_only_after_an_end() -> None:
    gone = tombstone(KEY, 0, 9)
    assert journal_is_gapless(journal(FIRST, SECOND, LAST, gone)).violations == []
    assert "it was fetching" in journal_is_gapless(journal(FIRST, gone)).violations[0]


def test_what_was_added_is_what_the_message_said() -> None:
    wrong = replace(SECOND, records=8)
    assert "makes it 1 units, 1 pages, 7 records" in state_is_the_fold(journal(FIRST, wrong, LAST)).violations[0]


def test_a_lease_that_is_not_out_adds_nothing() -> None:
    evidence = replace(whole_run(), told={(0, 0): told(lease=5), (0, 1): told(lease=2, first=2)})
    assert "makes it 0 units" in state_is_the_fold(evidence).violations[0]


def test_an_end_says_what_the_database_added_up() -> None:
    found = state_is_the_fold(replace(whole_run(), runs=(run(records=13),))).violations
    assert "added up (2, 13, 0)" in found[0]


def test_a_run_is_closed_in_the_database_as_it_ended() -> None:
    found = state_is_the_fold(replace(whole_run(), runs=(run(state="failed"),))).violations
    assert "closed the run as failed" in found[0]


def test_a_run_that_goes_on_needs_a_reason_and_a_deadline() -> None:
    waiting = replace(SECOND, reason="the API says 500", due=int(whole_run().read_at_ms))
    assert runs_end_or_wait(journal(FIRST, waiting)).violations == []
    for spoilt in (replace(waiting, reason=""), replace(waiting, due=0), replace(waiting, due=1)):
        assert len(runs_end_or_wait(journal(FIRST, spoilt)).violations) == 1


def test_a_main_sync_waits_for_somebody_who_runs() -> None:
    waiting = replace(SECOND, reason="the API says 500", due=whole_run().read_at_ms)
    main = main_sync(waiting, **{"people.person": "running"})
    assert runs_end_or_wait(journal(main, waiting)).violations == []
    assert "none of its entities runs" in runs_end_or_wait(journal(main, LAST)).violations[0]


def test_a_run_that_is_open_in_the_database_belongs_to_a_workflow_that_goes_on() -> None:
    found = runs_end_or_wait(replace(whole_run(), runs=(run(state="open"),))).violations
    assert "its workflow is done in run 100" in found[0]
