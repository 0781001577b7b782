"""Completeness of runs that are done: no record that existed throughout is missing, each proof is of its own pages."""

from collections import Counter
from collections.abc import Mapping

from tests.checker.evidence import Evidence
from tests.checker.found import Found
from tests.checker.values import Life, Run

CLOCKS_SECONDS = 0.1  # the database and the simulator read one clock, each a little before or after what it notes
MISSED_SHOWN_MAX = 5


def runs_miss_no_record(evidence: Evidence) -> Found:
    """Each record that existed from the opening of a run to its end is a row, also if it is dead by now.

    Of every run that is proven complete, not of the newest alone: rows stay, and after the last run nothing dies. Times
    are those of the audit: what a run says of itself is by the clock of a process, which may be wrong. Below parents
    nothing is judged: their children are read of those parents only that are rows already.
    """
    found = Found()
    if evidence.lives is None:
        found.skipped = "the lives of the source's records were not read"
        return found
    keys = {(table.org, table.entity): table.keys for table in evidence.tables}
    below = {line.run_id for line in evidence.audit if line.parent}
    for run in evidence.runs:
        lives = evidence.lives.get((run.org, run.entity), {})
        if run.state == "done" and run.run_id in evidence.times and run.run_id not in below:
            throughout = _throughout(lives, *evidence.times[run.run_id])
            _judge(run, throughout, keys.get((run.org, run.entity), frozenset()), found)
    for place, lives in evidence.lives.items():
        dead = {id for id, (_, died) in lives.items() if died is not None}
        found.count("rows of records that died", len(dead & keys.get(place, frozenset())))
    return found


def _throughout(lives: Mapping[str, Life], opened: float, ended: float) -> set[str]:
    """Records that were there at every moment between the two."""
    since, until = opened - CLOCKS_SECONDS, ended + CLOCKS_SECONDS
    return {
        id for id, (born, died) in lives.items() if (born is None or born < since) and (died is None or died > until)
    }


def _judge(run: Run, throughout: set[str], keys: frozenset[str], found: Found) -> None:
    missed = sorted(throughout - keys)
    if run.proof is None or not run.proof.complete:
        found.count("records missed by runs that are not proven complete", len(missed))
        return
    found.looked_at += len(throughout)
    if missed:
        shown = ", ".join(missed[:MISSED_SHOWN_MAX])
        found.wrong(
            f"{run.run_id}: {len(missed)} of {len(throughout)} records that existed throughout are no rows: {shown}"
        )


def proofs_count_their_pages(evidence: Evidence) -> Found:
    """Every run that is done has a proof, which is of as many pages and repairs as were committed under it."""
    found = Found()
    pages = Counter(line.run_id for line in evidence.audit)
    repairs = Counter(line.run_id for line in evidence.audit if line.page < 0)
    for run in evidence.runs:
        if run.proof is None:
            if run.state == "done":
                found.wrong(f"{run.run_id}: it is done, and has no proof")
            continue
        found.looked_at += 1
        found.count("runs that are not proven complete", not run.proof.complete)
        found.count("repairs", run.proof.repairs)
        said, committed = (run.proof.pages, run.proof.repairs), (pages[run.run_id], repairs[run.run_id])
        if said != committed:
            found.wrong(f"{run.run_id}: its proof is of pages, repairs {said}, and {committed} were committed")
    return found
