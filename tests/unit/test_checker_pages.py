from collections.abc import Sequence
from dataclasses import replace

from tests.checker.builders import KEY, RUN_ID, T0, line, run, whole_run
from tests.checker.evidence import AuditLine, Evidence, Expected, RunChange, Served, Table
from tests.checker.invariants.pages import (
    committed_pages_are_not_asked_for_again,
    pages_are_committed_once,
    runs_write_while_open,
)
from tests.checker.invariants.rows import rows_equal_the_source, rows_have_a_page

FIRST, SECOND = whole_run().audit


def audited(*lines: AuditLine) -> Evidence:
    return replace(whole_run(), audit=lines)


def asked(*times: float, page: int = 1) -> Sequence[str]:
    """What is wrong with requests for a page, so many seconds after the beginning."""
    served = [Served("acme", "people.person", "", page, T0 + time) for time in times]
    return committed_pages_are_not_asked_for_again(replace(whole_run(), served=served)).violations


def test_a_page_that_is_committed_twice_is_found_by_its_line_and_by_the_totals() -> None:
    once, twice = pages_are_committed_once(audited(FIRST, SECOND, replace(FIRST, id=9))).violations
    assert "page 1 of parent '' was committed 2 times" in once
    assert "committed (3, 19, 0), and the database says (2, 12, 0)" in twice


def test_a_page_that_the_totals_have_and_the_audit_has_not_is_found() -> None:
    assert len(pages_are_committed_once(audited(FIRST)).violations) == 1


def test_lines_that_are_not_folded_yet_count_with_the_totals() -> None:
    folding = run(pages=1, records=7, ledger_pages=1, ledger_records=5)
    assert pages_are_committed_once(replace(whole_run(), runs=(folding,))).violations == []


def test_pages_of_a_run_that_is_not_known_are_found() -> None:
    found = pages_are_committed_once(replace(whole_run(), runs=())).violations
    assert "it is not in sluice_runs" in found[0]


def test_a_page_under_a_closed_run_is_found() -> None:
    found = runs_write_while_open(audited(FIRST, replace(SECOND, state="cancelled"))).violations
    assert "while the run was cancelled" in found[0]


def test_a_page_behind_the_end_of_its_run_is_found_whatever_state_it_saw() -> None:
    assert "behind the run's end (done" in runs_write_while_open(audited(FIRST, replace(SECOND, id=9))).violations[0]


def test_a_page_may_close_its_own_run() -> None:
    closing = replace(SECOND, id=9, txid=4)
    assert runs_write_while_open(audited(FIRST, closing)).violations == []


def test_a_page_of_an_older_run_behind_one_of_a_newer_run_is_found() -> None:
    newer = run(run_id=f"{KEY}@200", number=200)
    evidence = replace(audited(FIRST, replace(FIRST, id=3, run_id=newer.run_id), replace(SECOND, id=5)), changes=())
    (found,) = runs_write_while_open(replace(evidence, runs=(run(), newer))).violations
    assert found.startswith("line 5")


def test_a_run_that_opens_again_is_found() -> None:
    again = RunChange(9, RUN_ID, "open", 9, T0)
    evidence = replace(whole_run(), changes=(*whole_run().changes, again))
    assert "done (change 4), then open (9)" in runs_write_while_open(evidence).violations[0]


def test_a_page_is_asked_for_before_its_commit() -> None:
    assert asked(1.0, 1.9) == []


def test_a_page_that_is_asked_for_after_its_commit_is_found() -> None:
    (found,) = asked(1.0, 2.5)
    assert "asked for 0.500 s after its commit" in found


def test_a_commit_counts_from_its_end_where_the_database_tells_it() -> None:
    served = [Served("acme", "people.person", "", 1, T0 + 2.5)]
    slow = replace(FIRST, committed_at=T0 + 2.6)
    assert committed_pages_are_not_asked_for_again(replace(audited(slow, SECOND), served=served)).violations == []


def test_a_page_may_belong_to_a_run_that_has_just_ended() -> None:
    newer = run(run_id=f"{KEY}@200", number=200)
    opened = RunChange(5, newer.run_id, "open", 5, T0 + 5)
    lines = (FIRST, replace(SECOND, page=9), line(6, 2, 5, run_id=newer.run_id))
    evidence = replace(whole_run(), audit=lines, runs=(run(), newer), changes=(*whole_run().changes, opened))
    late = Served("acme", "people.person", "", 2, T0 + 7)  # the older run never committed page 2
    assert committed_pages_are_not_asked_for_again(replace(evidence, served=[late])).violations == []
    again = replace(late, page=1)  # it did commit page 1, but the newer run did not
    assert committed_pages_are_not_asked_for_again(replace(evidence, served=[again])).violations == []
    both = replace(evidence, audit=(*lines, line(7, 1, 5, run_id=newer.run_id, at=T0 + 6)))
    assert len(committed_pages_are_not_asked_for_again(replace(both, served=[again])).violations) == 1


def test_a_page_that_is_asked_for_before_any_run_was_opened_is_found() -> None:
    early = Served("acme", "people.person", "", 1, T0 - 1)
    (found,) = committed_pages_are_not_asked_for_again(replace(whole_run(), served=[early])).violations
    assert "before any run of the entity was opened" in found


def test_a_journal_without_times_proves_nothing_and_says_so() -> None:
    served = [Served("acme", "people.person", "", 1), Served("acme", "people.person", "", 1)]
    found = committed_pages_are_not_asked_for_again(replace(whole_run(), served=served))
    assert (found.violations, list(found.figures.values())) == ([], [1])
    assert "does not tell when" in found.skipped


def table(rows: int = 12, sha256: str = "aa", **more: object) -> Evidence:
    places = frozenset({(RUN_ID, None, 1), (RUN_ID, None, 2)})
    found = replace(Table("acme", "people.person", rows, sha256, places=places), **more)  # type: ignore[arg-type]  # of a test's choice
    return replace(whole_run(), tables=(found,), expected={("acme", "people.person"): Expected(12, "aa")})


def test_rows_are_as_many_and_say_the_same_as_the_source() -> None:
    assert rows_equal_the_source(table()).violations == []
    assert "11 rows, and the source has 12" in rows_equal_the_source(table(rows=11)).violations[0]
    assert "with other contents" in rows_equal_the_source(table(sha256="bb")).violations[0]
    assert rows_equal_the_source(table(faults=("row 7 lies",))).violations == ["row 7 lies"]


def test_an_entity_without_a_table_has_no_rows() -> None:
    assert "0 rows" in rows_equal_the_source(replace(table(), tables=())).violations[0]


def test_rows_of_an_organisation_that_is_not_there_are_found() -> None:
    assert any("no such organisation" in found for found in rows_equal_the_source(table(org="gamma")).violations)


def test_rows_stand_under_a_page_that_was_committed() -> None:
    assert rows_have_a_page(table()).violations == []
    found = rows_have_a_page(
        table(places=frozenset({(RUN_ID, None, 3), (RUN_ID, "p", 1), ("else", None, 1)}))
    ).violations
    assert len(found) == 4
