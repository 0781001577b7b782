"""Each invariant finds what breaks it, and nothing in what is in order."""

import pytest
from msgspec.structs import replace

from tests.checker import completeness_examples, journal_examples, message_examples
from tests.checker.builders import event, journal, whole_run
from tests.checker.check import INVARIANTS
from tests.checker.entries import Entry
from tests.checker.evidence import Evidence
from tests.checker.journal_examples import FIRST, LAST, REPLAYED, SECOND
from tests.checker.message_examples import record, stored
from tests.checker.values import Served

EXAMPLES = (journal_examples, message_examples, completeness_examples)
RIGHT = {name: some for one in EXAMPLES for name, some in one.RIGHT.items()}
WRONG = {name: some for one in EXAMPLES for name, some in one.WRONG.items()}


@pytest.mark.parametrize("name", INVARIANTS)
def test_what_is_in_order_breaks_no_promise(name: str) -> None:
    found = [INVARIANTS[name](evidence).violations for evidence in (whole_run(), REPLAYED, *RIGHT.get(name, ()))]
    assert [sentence for sentences in found for sentence in sentences] == []


@pytest.mark.parametrize("name", INVARIANTS)
def test_what_is_wrong_is_found(name: str) -> None:
    for evidence, what in WRONG[name]:
        violations = INVARIANTS[name](evidence).violations
        assert any(what in sentence for sentence in violations), (what, violations)


def test_what_cannot_be_judged_is_counted_or_said() -> None:
    def figures(name: str, evidence: Evidence) -> dict[str, int]:
        return INVARIANTS[name](evidence).figures

    assert figures("journal-is-gapless", journal(FIRST, LAST, replace(LAST, offset=9)))["kept by a store alone"] == 1
    assert figures("stores-equal-the-journal", stored(8, record(1)))["stores that are behind the journal"] == 1
    served = [Served("acme", "people.person", "", 1)] * 2
    found = INVARIANTS["committed-pages-are-not-requested-again"](whole_run(served=served))
    assert (found.violations, list(found.figures.values())) == ([], [1])
    assert "does not say when" in found.skipped
    assert "were not read" in INVARIANTS["runs-miss-no-record"](whole_run()).skipped


def test_what_a_frozen_process_began_late_is_put_aside_by_one_that_knows_nothing_of_it() -> None:
    def aside(*entries: Entry) -> int:
        return INVARIANTS["journal-is-gapless"](journal(*entries)).figures["put aside"]

    other = replace(FIRST, key="entity-sync:acme:pco:people.email:full", offset=0, epoch=2)
    anew = replace(SECOND, epoch=2, history=(event(2),))
    assert aside(other, FIRST, anew) == aside(*REPLAYED.journal) == 1
    continued, own = replace(anew, history=(event(1), event(2))), replace(FIRST, epoch=2)
    assert [aside(other, FIRST, continued), aside(other, own, anew), aside(FIRST, anew)] == [0, 0, 0]
