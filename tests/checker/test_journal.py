from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from tests.checker.builders import KEY, MAIN, RUN, at, entry, event, main_sync, result, run, whole_run
from tests.checker.check import check
from tests.checker.entries import Entry, RequestLog
from tests.checker.evidence import Evidence
from tests.checker.formats import tombstone
from tests.checker.found import Found
from tests.checker.invariants.counts import state_is_the_fold
from tests.checker.invariants.journal import journal_is_gapless, journal_is_legal, journal_is_whole
from tests.checker.invariants.runs import runs_end_or_wait
from tests.checker.values import ActionResult, ActionStep, LogFacts

FIRST, SECOND, LAST = whole_run().journal
WAITING = replace(SECOND, reason="the API says 500", due=whole_run().read_at_ms)
TWICE = entry(4, status="done", last_offset=at(page_done=1))
OTHER = entry(2, units=9, offset=7, last_offset=at(page_done=0))
LOG = RequestLog(KEY, 0, epoch=1, seq=1, day=1, ids=frozenset(), faults=["what is wrong with it"])
STARTED = main_sync(entry(1, history=(event(1),)), "r")


def journal(*entries: Entry) -> Evidence:
    """The run with another journal."""
    return replace(whole_run(), journal=entries)


def gaps(*entries: Entry) -> Found:
    return journal_is_gapless(journal(*entries))


def illegal(*entries: Entry) -> Sequence[str]:
    return journal_is_legal(journal(*entries)).violations


def test_what_is_in_order_breaks_no_promise() -> None:
    assert check(whole_run()) == []
    assert gaps(FIRST, SECOND, LAST, tombstone(KEY, 0, 9)).violations == []
    assert runs_end_or_wait(journal(main_sync(WAITING, **{"people.person": "running"}), WAITING)).violations == []
    assert illegal(FIRST, entry(2, run=101, last_offset=at(), fenced=1)) == []
    assert illegal(LAST, LAST) == []  # only a store kept its beginning


@pytest.mark.parametrize(
    ("invariant", "evidence", "what"),
    [
        (journal_is_whole, journal(replace(FIRST, head_agrees=False)), "do not agree"),
        (journal_is_whole, journal(replace(FIRST, due_set_at=0)), "does not say when that was set"),
        (journal_is_whole, replace(whole_run(), request_logs=(LOG,)), "what is wrong with it"),
        (journal_is_gapless, journal(FIRST, LAST), "seq 2 to 2 are missing"),
        (journal_is_gapless, journal(FIRST, SECOND, LAST, TWICE), "but 0 messages came in"),
        (journal_is_gapless, journal(FIRST, SECOND, OTHER), "another record has this number"),
        (journal_is_gapless, journal(FIRST, replace(SECOND, partition=1)), "on partitions [0, 1]"),
        (journal_is_gapless, replace(whole_run(), request_logs=(replace(LOG, partition=1),)), "on partitions [0, 1]"),
        (journal_is_gapless, journal(FIRST, tombstone(KEY, 0, 9)), "it was fetching"),
        (journal_is_legal, journal(FIRST, replace(SECOND, last_offset=at(control=-1, page_done=0))), "goes back"),
        (journal_is_legal, journal(LAST), "its first record is done"),
        (journal_is_legal, journal(FIRST, SECOND, replace(LAST, records=3)), "records fall from 7 to 3"),
        (journal_is_legal, journal(FIRST, entry(4, run=99, last_offset=at())), "the older run 99"),
        (journal_is_legal, journal(FIRST, entry(2, run=101, last_offset=at())), "begins while run 100 is fetching"),
        (journal_is_legal, journal(replace(STARTED, request="else")), "run 100 is for request 'else', and its history"),
        (state_is_the_fold, journal(FIRST, replace(SECOND, records=8), LAST), "makes it 1 units, 1 pages, 7 records"),
        (state_is_the_fold, replace(whole_run(), results={(0, 0): result(lease=5)}), "makes it 0 units"),
        (state_is_the_fold, replace(whole_run(), runs=(run(records=13),)), "added up (2, 13, 0)"),
        (state_is_the_fold, replace(whole_run(), runs=(run(state="failed"),)), "closed the run as failed"),
        (runs_end_or_wait, journal(FIRST, replace(WAITING, reason="")), "no reason says why"),
        (runs_end_or_wait, journal(FIRST, replace(WAITING, due=0)), "without a deadline"),
        (runs_end_or_wait, journal(FIRST, replace(WAITING, due=1)), "its deadline passed"),
        (runs_end_or_wait, journal(main_sync(WAITING, **{"people.person": "running"}), LAST), "none of its entities"),
        (runs_end_or_wait, replace(whole_run(), runs=(run(state="open"),)), "its workflow is done in run 100"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_wrong_is_found(invariant: Callable[[Evidence], Found], evidence: Evidence, what: str) -> None:
    assert any(what in sentence for sentence in invariant(evidence).violations)


def test_a_topic_that_lacks_a_record_is_not_whole() -> None:
    holes, late = LogFacts("page-done", 3, 0, 9, 8, holes=(4,)), LogFacts("control", 0, 2, 9, 7)
    found = journal_is_whole(replace(whole_run(), logs=(holes, late, LogFacts("control", 1, 0, 9, 7)))).violations
    wanted = ["page-done/3 lacks records", "control/0 begins at 2", "control/1 ends at 9"]
    assert [sentence.startswith(what) for sentence, what in zip(found, wanted, strict=True)] == [True] * 3


@pytest.mark.parametrize("again", [replace(LAST, offset=9), replace(LAST, offset=9, epoch=2)])
def test_what_a_store_alone_kept_is_put_again_as_it_was_or_under_a_newer_epoch(again: Entry) -> None:
    found = gaps(FIRST, LAST, again)
    assert (found.violations, found.figures["kept by a store alone"]) == ([], 1)


def test_what_a_store_alone_kept_may_be_put_again_when_something_newer_has_come() -> None:
    evidence = replace(whole_run(), offsets={**whole_run().offsets, ("control", 0, KEY): [0, 1]})
    newer = entry(4, status="done", records=12, last_offset=at(control=1, page_done=1))
    assert len(journal_is_gapless(replace(evidence, journal=(FIRST, LAST, newer))).violations) == 1
    again = replace(newer, offset=9)
    assert journal_is_gapless(replace(evidence, journal=(FIRST, LAST, newer, again))).violations == []


def test_what_a_frozen_process_began_late_is_put_aside_by_one_that_knows_nothing_of_it() -> None:
    other = replace(FIRST, key="entity-sync:acme:pco:people.email:full", offset=0, epoch=2)
    anew = replace(SECOND, epoch=2, history=(event(2),))
    assert gaps(other, FIRST, anew).figures["put aside"] == 1
    continued, own = replace(anew, history=(event(1), event(2))), replace(FIRST, epoch=2)
    for entries in ((other, FIRST, continued), (other, own, anew), (FIRST, anew)):
        assert gaps(*entries).figures["put aside"] == 0


def test_what_an_older_epoch_wrote_unseen_is_put_aside() -> None:
    unseen = entry(2, status="finishing", last_offset=at(page_done=0))
    newer = (replace(FIRST, epoch=2, offset=5), replace(SECOND, epoch=2), replace(LAST, epoch=2))
    assert gaps(FIRST, unseen, *newer).figures["put aside"] == 1
    assert check(journal(FIRST, unseen, *newer)) == []


@pytest.mark.parametrize(
    ("before", "after"), [("done", "fetching"), ("finishing", "fetching"), ("fetching", "failed"), ("done", "failed")]
)
def test_a_status_that_no_arrow_leads_to_is_found(before: str, after: str) -> None:
    found = illegal(FIRST, entry(2, status=before), entry(3, status=after))
    assert any(f"from {before} to {after}" in sentence for sentence in found)


def test_a_main_sync_begins_anew_only_if_its_run_was_stale() -> None:
    evidence = journal(STARTED, main_sync(entry(2, run=101, history=(event(1), event(2))), "r"))
    assert len(journal_is_legal(evidence).violations) == 1
    assert journal_is_legal(replace(evidence, stale_runs=frozenset({(MAIN, RUN)}))).violations == []


def test_an_entity_of_a_main_sync_takes_no_way_back() -> None:
    first, second = main_sync(entry(1), a="running", b="waiting"), main_sync(entry(2), a="done", b="running")
    assert illegal(first, second) == []
    assert "a from done to running" in illegal(second, replace(first, seq=3))[0]


@pytest.mark.parametrize(
    ("status", "records", "error", "is_right"),
    [
        ("done", 12, "", True),
        ("failed", 12, "rejected", True),
        ("done", 13, "", False),
        ("failed", 12, "", False),
        ("done", 12, "rejected", False),
    ],
)
def test_a_run_that_was_being_closed_ends_as_the_result_says(
    status: str, records: int, error: str, is_right: bool
) -> None:
    counts = {"pages": 2, "records": 12, "rejected": 0}
    closing = entry(3, status="finishing", units=2, **counts, last_offset=at(page_done=1))
    position = (("action-complete", 0), *at(page_done=1))
    ended = entry(4, status=status, units=2, **{**counts, "records": records}, last_offset=position)
    step = ActionStep(KEY, RUN, "finish-run", "done", 1)
    evidence = replace(journal(FIRST, SECOND, closing, ended), runs=(run(state=status, records=records),))
    own = {(0, 0): ActionResult(step, error, {"outcome": "done", **counts})}
    found = state_is_the_fold(replace(evidence, action_results=own)).violations
    assert (found == []) == is_right
    other = {(0, 0): ActionResult(replace(step, run=99), "", {})}
    found = state_is_the_fold(replace(evidence, action_results=other)).violations
    assert "action-complete 0/0 is not its own" in found[0]
