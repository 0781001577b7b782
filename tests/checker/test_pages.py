from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from tests.checker.builders import KEY, RUN_ID, T0, line, run, whole_run
from tests.checker.evidence import Evidence
from tests.checker.found import Found
from tests.checker.invariants.pages import (
    committed_pages_are_not_requested_again,
    pages_are_committed_once,
    runs_write_while_open,
)
from tests.checker.invariants.rows import rows_equal_the_source, rows_have_a_page
from tests.checker.values import AuditLine, Expected, RunChange, Served, Table

FIRST, SECOND = whole_run().audit
NEWER = run(run_id=f"{KEY}@200", number=200)


def audited(*lines: AuditLine) -> Evidence:
    return replace(whole_run(), audit=lines)


OVERTAKEN = replace(
    audited(FIRST, replace(FIRST, id=3, run_id=NEWER.run_id), replace(SECOND, id=5)), changes=(), runs=(run(), NEWER)
)
REOPENED = replace(whole_run(), changes=(*whole_run().changes, RunChange(9, RUN_ID, "open", 9, T0)))


def table(rows: int = 12, sha256: str = "aa", **more: object) -> Evidence:
    places = frozenset({(RUN_ID, None, 1), (RUN_ID, None, 2)})
    found = replace(Table("acme", "people.person", rows, sha256, places=places), **more)  # type: ignore[arg-type]  # of a test's choice
    return replace(whole_run(), tables=(found,), expected={("acme", "people.person"): Expected(12, "aa")})


@pytest.mark.parametrize(
    ("invariant", "evidence", "what"),
    [
        (pages_are_committed_once, audited(FIRST, SECOND, replace(FIRST, id=9)), "page 1 of parent '' was committed 2"),
        (pages_are_committed_once, audited(FIRST), "committed (1, 7, 0), and the database says (2, 12, 0)"),
        (pages_are_committed_once, replace(whole_run(), runs=()), "it is not in sluice_runs"),
        (runs_write_while_open, audited(FIRST, replace(SECOND, state="cancelled")), "while the run was cancelled"),
        (runs_write_while_open, audited(FIRST, replace(SECOND, id=9)), "behind the run's end (done"),
        (runs_write_while_open, OVERTAKEN, "line 5"),
        (runs_write_while_open, REOPENED, "done (change 4), then open (9)"),
        (rows_equal_the_source, table(rows=11), "11 rows, and the source has 12"),
        (rows_equal_the_source, table(sha256="bb"), "with other contents"),
        (rows_equal_the_source, table(faults=("row 7 lies",)), "row 7 lies"),
        (rows_equal_the_source, replace(table(), tables=()), "0 rows"),
        (rows_equal_the_source, table(org="gamma"), "no such organisation"),
        (rows_have_a_page, table(places=frozenset({(RUN_ID, None, 3)})), "that page was never committed"),
        (rows_have_a_page, table(places=frozenset({(RUN_ID, "p", 1)})), "that page was never committed"),
        (rows_have_a_page, table(places=frozenset({("else", None, 1)})), "it is no run of theirs"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_wrong_is_found(invariant: Callable[[Evidence], Found], evidence: Evidence, what: str) -> None:
    assert any(what in sentence for sentence in invariant(evidence).violations)


def test_lines_that_are_not_folded_yet_count_and_a_page_may_close_its_own_run() -> None:
    folding = run(pages=1, records=7, ledger_pages=1, ledger_records=5)
    assert pages_are_committed_once(replace(whole_run(), runs=(folding,))).violations == []
    assert runs_write_while_open(audited(FIRST, replace(SECOND, id=9, txid=4))).violations == []
    assert rows_equal_the_source(table()).violations == rows_have_a_page(table()).violations == []


def requested(page: int, at: float, evidence: Evidence) -> Sequence[str]:
    """What is wrong with a request for a page, so many seconds after the beginning."""
    served = [Served("acme", "people.person", "", page, T0 + at)]
    return committed_pages_are_not_requested_again(replace(evidence, served=served)).violations


def test_a_page_is_requested_behind_the_opening_of_a_run_and_before_its_commit() -> None:
    assert requested(1, 1.0, whole_run()) == requested(1, 1.9, whole_run()) == []
    assert "requested 0.500 s after its commit" in requested(1, 2.5, whole_run())[0]
    assert "before any run of the entity was opened" in requested(1, -1, whole_run())[0]


def test_a_commit_counts_from_its_end_where_the_database_knows_it() -> None:
    assert requested(1, 2.5, audited(replace(FIRST, committed_at=T0 + 2.6), SECOND)) == []


def test_a_page_may_belong_to_a_run_that_has_just_ended() -> None:
    opened = RunChange(5, NEWER.run_id, "open", 5, T0 + 5)
    lines = (FIRST, replace(SECOND, page=9), line(6, 2, 5, run_id=NEWER.run_id))
    evidence = replace(audited(*lines), runs=(run(), NEWER), changes=(*whole_run().changes, opened))
    assert requested(2, 7, evidence) == []  # the older run never committed page 2
    assert requested(1, 7, evidence) == []  # it did commit page 1, but the newer run did not
    both = (*lines, line(7, 1, 5, run_id=NEWER.run_id, at=T0 + 6))
    assert len(requested(1, 7, replace(evidence, audit=both))) == 1


def test_a_journal_without_times_proves_nothing_and_says_so() -> None:
    served = [Served("acme", "people.person", "", 1)] * 2
    found = committed_pages_are_not_requested_again(replace(whole_run(), served=served))
    assert (found.violations, list(found.figures.values())) == ([], [1])
    assert "does not say when" in found.skipped
