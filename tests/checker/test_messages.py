import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.checker.builders import KEY, MAIN, RUN_ID, at, entry, event, main_sync, whole_run
from tests.checker.evidence import Evidence
from tests.checker.formats import HEAD
from tests.checker.invariants.commands import (
    ids_are_derived,
    no_command_is_lost,
    requests_run_once,
    results_answer_an_action,
)
from tests.checker.invariants.counts import main_syncs_add_up_their_entities
from tests.checker.invariants.dead_letters import poison_is_a_dead_letter_once
from tests.checker.invariants.published import columns_of, published_is_the_journal, timeline_is_the_journal
from tests.checker.invariants.stores import stores_equal_the_journal
from tests.checker.messages import derived_id, letter, start_id
from tests.checker.values import (
    ActionResult,
    ActionStep,
    Letter,
    Message,
    Newest,
    Poison,
    Published,
    SentCommand,
    Store,
)

ASK = {"org": "acme", "adapter": "pco", "type": "full"}
START = Message("start-sync", 0, 7, None, json.dumps(ASK).encode())
ORIGIN = ("start-sync", 0, 7)
ID = derived_id("start-sync", MAIN, "start-sync/0/7")
RETRY = Message("control", 0, 9, None, json.dumps({"workflow": KEY, "kind": "nudge", "request_id": "n"}).encode())
LETTER = Letter(0, 0, ORIGIN, "no such adapter", None, START.value)
EVENT = (MAIN, 5, 1, ID, "started", "start-sync/0/7", f"{MAIN}@5")


def evidence(**more: Any) -> Evidence:
    """The start led to something, if nothing else is given."""
    return replace(whole_run(), **{"starts": (START,), "events": frozenset({EVENT}), **more})


def lost(**more: Any) -> Sequence[str]:
    return no_command_is_lost(evidence(**more)).violations


def test_a_start_that_left_no_trace_is_lost() -> None:
    assert start_id(ORIGIN, START.value) == ID
    assert lost() == []
    assert "left no trace" in lost(events=frozenset())[0]


def test_a_start_may_be_forgotten_by_the_history_if_the_request_log_has_it_and_only_a_store_kept_its_step() -> None:
    full = tuple(event(number) for number in range(5, 21))
    kept = main_sync(entry(20, history=full))
    logged: dict[str, Any] = {"events": frozenset(), "request_ids": {MAIN: {ID[:16]}}}
    assert lost(**logged, journal=(kept,)) == []
    assert len(lost(**logged, journal=(replace(kept, history=full[1:]),))) == 1
    assert len(lost(events=frozenset(), journal=(kept,))) == 1


def test_a_start_that_is_no_start_must_be_a_dead_letter() -> None:
    wrong = replace(START, value=b"start acme please")
    assert len(lost(starts=(wrong,))) == 1
    assert lost(starts=(wrong,), letters=(LETTER,)) == []


def test_a_start_that_was_sent_on_is_a_dead_letter_where_it_arrived() -> None:
    value = json.dumps({**ASK, "request_id": "start-sync/0/7"}).encode()
    headers = [("sluice-dead-topic", b"start-sync"), ("sluice-dead-reason", b"not served here")]
    there = letter(3, 0, None, value, headers)
    assert lost(events=frozenset(), letters=(there,)) == []
    assert unlike_poison(there) == []


def test_what_was_acknowledged_stands_in_its_topic() -> None:
    assert lost(produced=(START,)) == []
    first, second = lost(produced=(replace(START, offset=8), replace(START, value=b"{}")))
    assert ("is not in its topic" in first, "another message stands" in second) == (True, True)


def test_another_command_is_noted_rejected_gone_beyond_or_came_too_late() -> None:
    first, second = whole_run().journal[:2]
    going: dict[str, Any] = {"journal": (first, second), "produced": (RETRY,)}
    noted = frozenset({EVENT, (KEY, 9, 9, derived_id("control", "nudge", KEY, "n"), "retried", "n", RUN_ID)})
    beyond = (first, replace(second, last_offset=at(control=9, page_done=0)))
    assert "left no trace" in lost(**going)[0]
    assert lost(**going, events=noted) == []
    assert lost(**going, letters=(replace(LETTER, origin=("control", 0, 9)),)) == []
    assert lost(**{**going, "journal": beyond}) == []
    assert lost(produced=(RETRY,)) == []


def test_a_request_runs_once_unless_its_run_was_lost() -> None:
    first, second = (main_sync(entry(seq, run=seq), "r") for seq in (1, 2))
    attached = replace(first, seq=2, history=(event(2, request="r", run=7),))
    assert requests_run_once(evidence(journal=(first,))).violations == []
    assert "it has the runs [1, 2]" in requests_run_once(evidence(journal=(first, second))).violations[0]
    assert "it has the runs [1, 7]" in requests_run_once(evidence(journal=(first, attached))).violations[0]
    stale = evidence(journal=(first, second), stale_runs=frozenset({(MAIN, 1)}))
    assert requests_run_once(stale).violations == []


@pytest.mark.parametrize(("between", "found"), [(1, 1), (5, 0), (9, 1)])
def test_an_entity_that_was_under_a_run_in_between_shows_that_a_run_was_lost(between: int, found: int) -> None:
    first, second = (main_sync(entry(run, run=run), "r") for run in (1, 9))
    journal = (first, second, entry(1, parent_run=between))
    assert len(requests_run_once(evidence(journal=journal)).violations) == found


def test_a_main_sync_says_of_its_entities_what_the_database_says() -> None:
    def saying(records: int) -> Sequence[str]:
        child = {"status": "done", "run_id": RUN_ID, "pages": 2, "records": records}
        newest = {"m@5": Newest(MAIN, 1, 2, record(2, children={"people.person": child}))}
        return main_syncs_add_up_their_entities(evidence(newest=newest)).violations

    assert saying(12) == []
    assert "says (2, 12, 0)" in saying(13)[0]


def test_the_same_command_has_the_same_id_and_the_one_that_follows_from_it() -> None:
    first = SentCommand(("fetch-page", 0, 1), b"d", "a")
    again, other = replace(first, origin=("fetch-page", 0, 2)), replace(first, origin=("fetch-page", 0, 3), id="b")
    underived = replace(first, digest=b"e", derived="c")
    assert ids_are_derived(evidence(sent=(first, again))).violations == []
    assert (
        "fetch-page 0/3 says what fetch-page 0/1 says" in ids_are_derived(evidence(sent=(first, other))).violations[0]
    )
    assert "what it says makes it c" in ids_are_derived(evidence(sent=(first, underived))).violations[0]


def test_a_result_is_about_an_attempt_that_was_asked_for() -> None:
    step = ActionStep(KEY, 100, "finish-run", "done", 1)
    given: dict[str, Any] = {"action_results": {(0, 3): ActionResult(step, "", {})}}
    assert results_answer_an_action(evidence(**given, actions=frozenset({step}))).violations == []
    other = results_answer_an_action(evidence(**given, actions=frozenset({replace(step, attempt=2)}))).violations
    assert "action-complete 0/3" in other[0]


def unlike_poison(*letters: Letter, poison: Sequence[Poison] = (Poison(ORIGIN, "no adapter"),)) -> Sequence[str]:
    return poison_is_a_dead_letter_once(evidence(letters=letters, poison=poison)).violations


def test_poison_is_one_dead_letter_or_the_same_again_and_nothing_else_is() -> None:
    again = replace(LETTER, offset=1)
    assert unlike_poison(LETTER) == unlike_poison(LETTER, again) == []
    assert "not the same" in unlike_poison(LETTER, replace(again, value=b"else"))[0]
    assert unlike_poison() == ["start-sync 0/7 (no adapter) has no dead letter"]
    assert "although nothing was wrong with it" in unlike_poison(LETTER, poison=())[0]
    refusable = json.dumps({**ASK, "on_conflict": "reject"}).encode()
    assert unlike_poison(replace(LETTER, value=refusable), poison=()) == []


def record(seq: int, **state: object) -> bytes:
    known = {"kind": "sync", **ASK, "request": "r", "started_at": 5, **state}
    return HEAD.pack(1, seq, 0) + json.dumps({"generation": 1, "seq": seq, "state": known}).encode()


def stored(position: int | None, value: bytes) -> Evidence:
    store = Store("workflows-0.db", 0, position, {KEY.encode(): value})
    return evidence(stores=(store,), folded={0: {KEY.encode(): record(2)}}, position={0: 9})


def test_a_store_that_is_up_to_date_holds_what_the_journal_says() -> None:
    assert stores_equal_the_journal(stored(9, record(2))).violations == []
    (found,) = stores_equal_the_journal(stored(9, record(1))).violations
    assert "the store has epoch 1, seq 1, the journal epoch 1, seq 2" in found
    for behind in (8, None):
        counted = stores_equal_the_journal(stored(behind, record(1)))
        assert (counted.violations, counted.figures["stores that are behind the journal"]) == ([], 1)


def published(lines: Sequence[Published], newest: Newest) -> Sequence[str]:
    return published_is_the_journal(evidence(newest={"r@5": newest}, published=lines)).violations


def test_published_state_is_that_of_the_newest_record() -> None:
    newest = Newest(MAIN, 1, 2, record(2, children={"a": {"pages": 2}, "b": {"pages": 3}}))
    columns = {"run_id": "r@5", **columns_of(newest)}
    table, view = (Published(name, "r@5", columns) for name in ("sluice_workflow_runs", "sluice_sync_runs"))
    assert (columns["pages"], columns["status"], columns["kind"]) == (5, "running", "main-sync")
    assert published((table, view), newest) == []
    older = replace(view, columns={**columns, "seq": 1, "superseded_by": "x"})
    assert published((table, older), newest) == ["r@5: sluice_sync_runs has seq 1, the journal 2"]
    assert published((table,), newest) == ["r@5 is in the journal and not in sluice_sync_runs"]
    short = [replace(one, columns={"run_id": "r@5"}) for one in (table, view)]
    assert "r@5: its details is nowhere published" in published(short, newest)
    gone = published_is_the_journal(evidence(published=(table,))).violations
    assert gone == ["r@5 is in sluice_workflow_runs, and no record of the journal knows it"]


def test_the_timeline_is_all_that_happened() -> None:
    assert timeline_is_the_journal(evidence(timeline=(EVENT,))).violations == []
    assert "not in the timeline" in timeline_is_the_journal(evidence()).violations[0]
    for changed in ((*EVENT[:4], "else", *EVENT[5:]), (*EVENT[:6], f"{MAIN}@6"), (KEY, *EVENT[1:])):
        found = timeline_is_the_journal(evidence(timeline=(EVENT, changed))).violations
        assert any("no record of the journal has it" in sentence for sentence in found)
