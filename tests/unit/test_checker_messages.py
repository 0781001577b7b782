import json
from collections.abc import Sequence
from dataclasses import replace

from tests.checker.builders import KEY, MAIN, RUN_ID, at, entry, whole_run
from tests.checker.evidence import Evidence, Letter, Message, Newest, Poison, Published, Said, Store
from tests.checker.formats import HEAD, derived_id, letter, start_id
from tests.checker.invariants.commands import ids_are_derived, no_command_is_lost, requests_run_once
from tests.checker.invariants.counts import main_syncs_add_up_their_entities
from tests.checker.invariants.letters import poison_is_buried_once
from tests.checker.invariants.published import columns_of, published_is_the_journal
from tests.checker.invariants.stores import stores_equal_the_journal

START = Message("start-sync", 0, 7, None, b'{"org": "acme", "adapter": "pco", "type": "full"}')
ORIGIN = ("start-sync", 0, 7)
NUDGE = Message("control", 0, 9, None, json.dumps({"workflow": KEY, "kind": "nudge", "request_id": "n"}).encode())
LETTER = Letter(0, 0, ORIGIN, "no such adapter", None, START.value)


def kept() -> Evidence:
    """The start is remembered."""
    id_ = start_id(ORIGIN, START.value)
    assert id_ is not None
    return replace(whole_run(), starts=(START,), seen=frozenset({id_}))


def test_a_start_is_remembered_by_the_name_of_its_message() -> None:
    assert start_id(ORIGIN, START.value) == derived_id("start-sync", MAIN, "start-sync/0/7")
    assert no_command_is_lost(kept()).violations == []


def test_a_start_that_left_no_trace_is_lost() -> None:
    assert "left no trace" in no_command_is_lost(replace(kept(), seen=frozenset())).violations[0]


def test_a_start_that_is_no_start_must_be_buried() -> None:
    wrong = replace(START, value=b"start acme please")
    assert len(no_command_is_lost(replace(kept(), starts=(wrong,))).violations) == 1
    assert no_command_is_lost(replace(kept(), starts=(wrong,), letters=(LETTER,))).violations == []


def test_a_start_that_was_sent_on_is_buried_where_it_arrived() -> None:
    value = json.dumps({"org": "acme", "adapter": "pco", "type": "full", "request_id": "start-sync/0/7"}).encode()
    there = letter(
        3, 0, None, value, [("sluice-dead-topic", b"start-sync"), ("sluice-dead-reason", b"not served here")]
    )
    assert no_command_is_lost(replace(kept(), seen=frozenset(), letters=(there,))).violations == []
    assert buried(there) == []


def test_what_was_acknowledged_stands_in_its_topic() -> None:
    assert no_command_is_lost(replace(kept(), produced=(START,))).violations == []
    gone, other = replace(START, offset=8), replace(START, value=b"{}")
    found = no_command_is_lost(replace(kept(), produced=(gone, other))).violations
    assert ["is not in its topic" in found[0], "another message stands" in found[1]] == [True, True]


def goes_on(**more: object) -> Evidence:
    """The workflow has not ended."""
    return replace(kept(), journal=whole_run().journal[:2], produced=(NUDGE,), **more)  # type: ignore[arg-type]  # of a test's choice


def test_another_command_is_noted_buried_or_gone_beyond() -> None:
    assert "left no trace" in no_command_is_lost(goes_on()).violations[0]
    noted = frozenset({derived_id("control", "nudge", KEY, "n")})
    assert no_command_is_lost(goes_on(causes=noted)).violations == []
    assert no_command_is_lost(goes_on(letters=(replace(LETTER, origin=("control", 0, 9)),))).violations == []
    first, second = whole_run().journal[:2]
    beyond = (first, replace(second, last_offset=at(control=9, page_done=0)))
    assert no_command_is_lost(replace(goes_on(), journal=beyond)).violations == []


def test_a_command_that_comes_when_all_is_over_need_not_be_noted() -> None:
    assert no_command_is_lost(replace(kept(), produced=(NUDGE,))).violations == []


def test_a_request_runs_once_unless_its_run_was_lost() -> None:
    first, second = (replace(entry(run), key=MAIN, kind="sync", run=run, request="r") for run in (1, 2))
    evidence = replace(whole_run(), journal=(first, second))
    assert requests_run_once(replace(evidence, journal=(first,))).violations == []
    assert "it has the runs [1, 2]" in requests_run_once(evidence).violations[0]
    assert requests_run_once(replace(evidence, outnumbered=frozenset({(MAIN, 1)}))).violations == []


def test_an_entity_that_was_under_a_run_in_between_shows_that_a_run_was_lost() -> None:
    first, second = (
        replace(entry(run), key=MAIN, kind="sync", run=run, request="r", status="running") for run in (1, 9)
    )
    for between, found in ((1, 1), (5, 0), (9, 1)):
        evidence = replace(whole_run(), journal=(first, second, entry(1, parent_run=between)))
        assert len(requests_run_once(evidence).violations) == found


def test_a_main_sync_says_of_its_entities_what_the_database_says() -> None:
    def saying(records: int) -> Evidence:
        child = {"status": "done", "run_id": RUN_ID, "pages": 2, "records": records}
        return replace(whole_run(), newest={"m@5": Newest(1, 2, record(2, children={"people.person": child}))})

    assert main_syncs_add_up_their_entities(saying(12)).violations == []
    assert "says (2, 12, 0)" in main_syncs_add_up_their_entities(saying(13)).violations[0]


def test_the_same_command_under_another_id_is_found() -> None:
    first = Said(("fetch-page", 0, 1), b"d", "a")
    again, drawn = replace(first, origin=("fetch-page", 0, 2)), Said(("fetch-page", 0, 3), b"d", "b")
    assert ids_are_derived(replace(kept(), said=(first, again))).violations == []
    assert (
        "fetch-page 0/3 says what fetch-page 0/1 says"
        in ids_are_derived(replace(kept(), said=(first, drawn))).violations[0]
    )


def buried(*letters: Letter, poison: Sequence[Poison] = (Poison(ORIGIN, "no adapter"),)) -> Sequence[str]:
    return poison_is_buried_once(replace(whole_run(), letters=letters, poison=poison)).violations


def test_poison_is_buried_once_or_again_as_the_same_letter() -> None:
    assert buried(LETTER) == []
    assert buried(LETTER, replace(LETTER, offset=1)) == []
    assert "not the same" in buried(LETTER, replace(LETTER, offset=1, value=b"else"))[0]


def test_poison_without_a_letter_is_found() -> None:
    assert buried() == ["start-sync 0/7 (no adapter) has no dead letter"]


def test_a_letter_for_a_good_message_is_found() -> None:
    assert "although nothing was wrong with it" in buried(LETTER, poison=())[0]


def test_a_start_may_be_refused_while_a_run_is_in_progress() -> None:
    value = json.dumps({"org": "acme", "adapter": "pco", "type": "full", "on_conflict": "reject"}).encode()
    assert buried(replace(LETTER, value=value), poison=()) == []


def record(seq: int, **state: object) -> bytes:
    known = {"kind": "sync", "org": "acme", "adapter": "pco", "type": "full", "request": "r", "started_at": 5, **state}
    return HEAD.pack(1, seq, 0) + json.dumps({"generation": 1, "seq": seq, "state": known}).encode()


def stored(position: int | None, value: bytes) -> Evidence:
    store = Store("workflows-0.db", 0, position, {KEY.encode(): value})
    return replace(whole_run(), stores=(store,), folded={0: {KEY.encode(): record(2)}}, position={0: 9})


def test_a_store_that_is_up_to_date_holds_what_the_journal_says() -> None:
    assert stores_equal_the_journal(stored(9, record(2))).violations == []
    (found,) = stores_equal_the_journal(stored(9, record(1))).violations
    assert "the store has generation 1, seq 1, the journal generation 1, seq 2" in found


def test_a_store_that_is_behind_is_counted_and_not_compared() -> None:
    for behind in (8, None):
        found = stores_equal_the_journal(stored(behind, record(1)))
        assert (found.violations, found.figures["stores that are behind the journal"]) == ([], 1)


def test_published_state_is_that_of_the_newest_record() -> None:
    newest = Newest(1, 2, record(2, children={"a": {"pages": 2}, "b": {"pages": 3}}))
    columns = columns_of(newest)
    evidence = replace(whole_run(), newest={"r@5": newest}, published=(Published("r@5", columns),))
    assert (columns["pages"], columns["status"]) == (5, "running")
    assert published_is_the_journal(evidence).violations == []
    older = replace(evidence, published=(Published("r@5", {**columns, "seq": 1}),))
    assert published_is_the_journal(older).violations == ["r@5: seq is published as 1, the journal says 2"]
    assert published_is_the_journal(replace(evidence, published=())).violations == [
        "r@5 is in the journal and not published"
    ]
    assert "no record of the journal knows it" in published_is_the_journal(replace(evidence, newest={})).violations[0]
