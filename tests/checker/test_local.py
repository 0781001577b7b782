"""Local deliveries, without a message: enough for a step, if its command was that and not twice."""

from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from tests.checker.builders import KEY, MAIN, at, entry, event, main_sync, whole_run
from tests.checker.entries import Entry
from tests.checker.invariants.journal import journal_is_gapless
from tests.checker.invariants.runs import main_syncs_and_entities_agree
from topics.command import CancelRun, RetryNow
from topics.kinds.entity import StartEntity
from topics.kinds.sync import ChildDone, StaleRun

NAME = "people.person"
OTHER = "x" * 32
FIRST = entry(1, leases=((1, 1, 1),), last_offset=at(), history=(event(1, OTHER),))
STARTED = StartEntity(workflow=KEY, parent=MAIN, parent_run=60).id
CANCELLED = CancelRun(workflow=KEY, run=50, reason="why").id
RETRIED = RetryNow(workflow=KEY, request_id="n").id
CHILD_DONE = ChildDone(workflow=MAIN, parent_run=100, entity=NAME, child_run_id="", outcome="done").id
STALE = StaleRun(workflow=MAIN, parent_run=100, newest=150).id
NEXT: dict[str, Any] = {"parent_run": 60, "run": 101}  # what a start by the next run of the main sync changes


def local(seq: int, *causes: str, like: Entry = FIRST, **more: Any) -> Entry:
    """A later record, at the same position in all topics; the last steps had these causes."""
    history = tuple(event(number, cause) for number, cause in enumerate(causes, seq - len(causes) + 1))
    return replace(like, seq=seq, offset=seq, state=str(seq).encode(), history=history, **more)


def main(seq: int, *causes: str, status: str = "running", child: str = "running", run: int = 100) -> Entry:
    return local(seq, *causes, like=main_sync(FIRST, **{NAME: child}), status=status, run=run)


def wrong(*journal: Entry, **more: Any) -> Sequence[str]:
    evidence = whole_run(journal=list(journal), **{"retries": {MAIN: {"n"}}, **more})
    return journal_is_gapless(evidence).violations


@pytest.mark.parametrize(
    "journal",
    [
        (FIRST, local(2, STARTED, **NEXT)),
        (FIRST, local(2, RETRIED)),
        (main(1), main(2, STALE, run=151), entry(1, parent_run=150)),
        (FIRST, local(3, CANCELLED, STARTED, **NEXT)),
        (FIRST, local(21, *[OTHER] * 16)),  # a full history may have forgotten steps
    ],
    ids=["start", "retry", "a stale run", "both kept by a store alone", "a full history"],
)
def test_a_step_may_be_a_local_delivery(journal: tuple[Entry, ...]) -> None:
    assert wrong(*journal) == []


@pytest.mark.parametrize(
    ("journal", "count"),
    [
        ((FIRST, local(2, OTHER, **NEXT)), 0),
        ((FIRST, local(2, STARTED)), 0),
        ((FIRST, local(2, CANCELLED)), 0),
        ((FIRST, local(2, OTHER, status="finishing", leases=())), 0),
        ((FIRST, local(2, RETRIED, units=1)), 0),
        ((FIRST, local(2, units=1)), 0),
        ((main(1), main(2, STALE, run=151)), 0),
        ((main(1), main(2, CHILD_DONE, child="done"), main(3, CHILD_DONE, CHILD_DONE, child="done")), 0),
        ((FIRST, local(3, STARTED, **NEXT)), 1),
        ((FIRST, local(21, *[OTHER] * 15)), 15),
    ],
)
def test_it_is_one_only_if_the_command_behind_it_had_its_effect_once(journal: tuple[Entry, ...], count: int) -> None:
    assert f"{count} can have been delivered locally" in wrong(*journal)[0]


def test_a_request_is_no_local_delivery_unless_it_was_sent_and_only_once() -> None:
    assert "0 can have been delivered locally" in wrong(FIRST, local(2, RETRIED), retries={})[0]
    assert wrong(FIRST, local(2, RETRIED), local(3, RETRIED, RETRIED)) == [f"{KEY}: retry n was counted 2 times"]
    journal, by_message = (FIRST, local(3, CANCELLED, STARTED)), {KEY: {CANCELLED[:16]}}
    assert "1 can have been delivered" in wrong(*journal, request_ids=by_message)[0]


def disagreeing(*journal: Entry) -> Sequence[str]:
    evidence = whole_run(journal=list(journal), parents_started=set())
    return main_syncs_and_entities_agree(evidence).violations


@pytest.mark.parametrize(
    "main_syncs",
    [
        (main(1, run=50),),
        (main(1, OTHER, run=50), replace(main(1, run=51), epoch=2)),  # the record was put aside
        (main(1, run=40), main(2, run=60)),  # a run was given up
        (main(1, status="done", run=40), main(3, run=60)),  # only a store kept some
        (main(2, OTHER, OTHER, run=60),),
    ],
)
def test_an_entity_is_under_a_run_that_its_main_sync_had_or_may_have_had(main_syncs: tuple[Entry, ...]) -> None:
    assert disagreeing(*main_syncs, FIRST) == []


@pytest.mark.parametrize("main_syncs", [(main(1, run=49),), (main(1, status="done", run=40), main(2, run=60))])
def test_a_run_that_its_main_sync_never_had_is_found(main_syncs: tuple[Entry, ...]) -> None:
    assert ["which main-sync:acme:pco:full never had" in one for one in disagreeing(*main_syncs, FIRST)] == [True]


def test_what_a_main_sync_calls_done_was_done_under_its_run() -> None:
    before, ended, said = main(1, run=50), local(2, status="done"), main(2, child="done", run=50)
    assert disagreeing(before, FIRST, ended, said) == []
    assert "people.person is called done" in disagreeing(before, FIRST, said)[0]
    assert len(disagreeing(before, FIRST, ended, said, main(3, child="done", run=60))) == 1
