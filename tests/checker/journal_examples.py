"""Journals, runs, pages and rows that are in order or not, by invariant."""

from typing import Any

from msgspec.structs import replace

from tests.checker.builders import (
    KEY,
    MAIN,
    RUN,
    RUN_ID,
    T0,
    at,
    entry,
    event,
    journal,
    line,
    main_sync,
    result,
    run,
    whole_run,
)
from tests.checker.entries import Entry, RequestLog
from tests.checker.evidence import Evidence
from tests.checker.values import Action, AuditLine, Expected, LogFacts, RunChange, Served, Table

FIRST, SECOND, LAST = whole_run().journal
WAITING = replace(SECOND, reason="the API says 500", due=whole_run().read_at_ms)
LOG = RequestLog(KEY, 0, epoch=1, seq=1, day=1, ids=frozenset(), faults=["what is wrong with it"])
STARTED = main_sync(entry(1, history=(event(1),)), "r")
RUNNING = {"people.person": "running"}
PAGE_1, PAGE_2 = whole_run().audit
NEWER = run(run_id=f"{KEY}@200", number=200)

TWICE = (main_sync(entry(1, run=1), "r"), main_sync(entry(9, run=9), "r"))


def audited(*lines: AuditLine, **more: Any) -> Evidence:
    return whole_run(audit=list(lines), **more)


def table(rows: int = 12, sha256: str = "aa", org: str = "acme", **more: Any) -> Evidence:
    places = frozenset({(RUN_ID, None, 1), (RUN_ID, None, 2)})
    found = replace(Table(org, "people.person", rows, sha256, places=places), **more)
    return whole_run(tables=[found], expected={("acme", "people.person"): Expected(12, "aa")})


def requested(page: int, at: float, evidence: Evidence | None = None) -> Evidence:
    """With a request for a page, so many seconds after the beginning."""
    served = [Served("acme", "people.person", "", page, T0 + at)]
    return replace(evidence or whole_run(), served=served)


def closed(status: str, records: int, error: str = "", run_: int = RUN) -> Evidence:
    """A run that was being closed has ended; what the action said is of this run."""
    counts = {"pages": 2, "records": 12, "rejected": 0}
    closing = entry(3, status="finishing", units=2, **counts, last_offset=at(page_done=1))
    position = (("action-complete", 0), *at(page_done=1))
    ended = entry(4, status=status, units=2, **{**counts, "records": records}, last_offset=position)
    said = Action(KEY, run_, "finish-run", "done", error=error, result={"outcome": "done", **counts})
    totals = [run(state=status, records=records)]
    return whole_run(journal=[FIRST, SECOND, closing, ended], runs=totals, action_results={(0, 0): said})


OPENED_AGAIN = RunChange(9, RUN_ID, "open", 9, T0)
NEWER_OPENED = RunChange(5, NEWER.run_id, "open", 5, T0 + 5)
BOTH_RUNS: dict[str, Any] = {
    "runs": [run(), NEWER],
    "changes": [*whole_run().changes, RunChange(5, NEWER.run_id, "open", 5, T0 + 5)],
}
OF_BOTH_RUNS = (PAGE_1, replace(PAGE_2, page=9), line(6, 2, 5, run_id=NEWER.run_id))
PAGE_1_AGAIN = line(7, 1, 5, run_id=NEWER.run_id, at=T0 + 6)
OVERTAKEN = audited(
    PAGE_1, replace(PAGE_1, id=3, run_id=NEWER.run_id), replace(PAGE_2, id=5), changes=[], runs=[run(), NEWER]
)
REPAIRED = audited(PAGE_1, PAGE_2, line(6, -1, 5))
A_CHILD, A_CHILD_LATER = main_sync(entry(1), a="running", b="waiting"), main_sync(entry(2), a="done", b="running")
UNSEEN = entry(2, status="finishing", last_offset=at(page_done=0))  # by the epoch that wrote the records behind it
REPLAYED = journal(FIRST, UNSEEN, replace(FIRST, epoch=2, offset=5), replace(SECOND, epoch=2), replace(LAST, epoch=2))
NO_ARROWS = (("done", "fetching"), ("finishing", "fetching"), ("fetching", "failed"), ("done", "failed"))
BEGUN_ANEW = journal(STARTED, main_sync(entry(2, run=101, history=(event(1), event(2))), "r"))


def newer_than_replayed(again: bool) -> Evidence:
    """Only a store kept a step, and something newer came in before its replay: that is put `again`."""
    newer = entry(4, status="done", records=12, last_offset=at(control=1, page_done=1))
    entries = [FIRST, LAST, newer, *([replace(newer, offset=9)] if again else [])]
    return whole_run(offsets={**whole_run().offsets, ("control", 0, KEY): [0, 1]}, journal=entries)


RIGHT: dict[str, list[Evidence]] = {
    "journal-is-gapless": [
        journal(*whole_run().journal, Entry(key=KEY, partition=0, offset=9, epoch=1, seq=9, is_tombstone=True)),
        journal(FIRST, LAST, replace(LAST, offset=9)),  # only a store kept what came between: it is put again,
        journal(FIRST, LAST, replace(LAST, offset=9, epoch=2)),  # or by a newer epoch,
        newer_than_replayed(again=True),  # or what is newer is
    ],
    "runs-end-or-wait": [journal(main_sync(WAITING, **RUNNING), WAITING)],
    "journal-is-legal": [
        journal(FIRST, entry(2, run=101, last_offset=at(), fenced=1)),
        journal(LAST, LAST),  # only a store kept its beginning
        journal(A_CHILD, A_CHILD_LATER),
        replace(BEGUN_ANEW, stale_runs={(MAIN, RUN)}),
    ],
    "state-is-the-fold": [closed("done", 12), closed("failed", 12, "rejected")],
    "runs-write-while-open": [audited(PAGE_1, replace(PAGE_2, id=9, txid=4))],  # a page may close its own run
    "rows-equal-the-source": [table()],
    "rows-have-a-page": [table()],
    "committed-pages-are-not-requested-again": [
        requested(1, 1.0),
        requested(1, 1.9),
        # A commit counts from its end, where the database knows it.
        requested(1, 2.5, audited(replace(PAGE_1, committed_at=T0 + 2.6), PAGE_2)),
        # It may be a repair, which is committed later.
        requested(1, 3.5, REPAIRED),
        # It may belong to a run that has just ended; the older run never committed page 2, the newer one not page 1.
        requested(2, 7, audited(*OF_BOTH_RUNS, **BOTH_RUNS)),
        requested(1, 7, audited(*OF_BOTH_RUNS, **BOTH_RUNS)),
    ],
    "requests-run-once": [
        journal(STARTED),
        whole_run(journal=list(TWICE), stale_runs={(MAIN, 1)}),
        journal(*TWICE, entry(1, parent_run=5)),  # under a run in between, which was lost
    ],
}
WRONG: dict[str, list[tuple[Evidence, str]]] = {
    "journal-is-whole": [
        (journal(replace(FIRST, head_agrees=False)), "do not agree"),
        (journal(replace(FIRST, due_set_at=0)), "does not say when that was set"),
        (whole_run(request_logs=[LOG]), "what is wrong with it"),
        (whole_run(logs=[LogFacts("page-done", 3, 0, 9, 8, holes=[4])]), "page-done/3 lacks records, the first at"),
        (whole_run(logs=[LogFacts("control", 0, 2, 9, 7)]), "control/0 begins at 2"),
        (whole_run(logs=[LogFacts("control", 1, 0, 9, 7)]), "control/1 ends at 9"),
    ],
    "journal-is-gapless": [
        (journal(FIRST, LAST), "seq 2 to 2 are missing"),
        (newer_than_replayed(again=False), "put 1 times, not 2"),
        (journal(FIRST, SECOND, LAST, entry(4, status="done", last_offset=at(page_done=1))), "but 0 messages came in"),
        (
            journal(FIRST, SECOND, entry(2, units=9, offset=7, last_offset=at(page_done=0))),
            "another record has this number",
        ),
        (journal(FIRST, replace(SECOND, partition=1)), "on partitions [0, 1]"),
        (whole_run(request_logs=[replace(LOG, partition=1)]), "on partitions [0, 1]"),
        (journal(FIRST, Entry(key=KEY, partition=0, offset=9, epoch=1, seq=9, is_tombstone=True)), "it was fetching"),
    ],
    "journal-is-legal": [
        (journal(FIRST, replace(SECOND, last_offset=at(control=-1, page_done=0))), "goes back"),
        (journal(LAST), "its first record is done"),
        (journal(FIRST, SECOND, replace(LAST, records=3)), "records fall from 7 to 3"),
        (journal(FIRST, entry(4, run=99, last_offset=at())), "the older run 99"),
        (journal(FIRST, entry(2, run=101, last_offset=at())), "begins while run 100 is fetching"),
        (journal(replace(STARTED, request="else")), "run 100 is for request 'else', and its history"),
        (journal(A_CHILD_LATER, replace(A_CHILD, seq=3)), "a from done to running"),
        (BEGUN_ANEW, "run 101 begins while run 100 is running"),
        *((journal(FIRST, entry(2, status=a), entry(3, status=b)), f"from {a} to {b}") for a, b in NO_ARROWS),
    ],
    "state-is-the-fold": [
        (journal(FIRST, replace(SECOND, records=8), LAST), "makes it 1 units, 1 pages, 7 records"),
        (whole_run(results={(0, 0): result(lease=5)}), "makes it 0 units"),
        (whole_run(runs=[run(records=13)]), "added up (2, 13, 0)"),
        (whole_run(runs=[run(state="failed")]), "closed the run as failed"),
        (closed("done", 13), "action-complete 0/0 makes it"),
        (closed("failed", 12), "action-complete 0/0 makes it"),
        (closed("done", 12, "rejected"), "action-complete 0/0 makes it"),
        (closed("done", 12, run_=99), "action-complete 0/0 is not its own"),
    ],
    "main-syncs-and-entities-agree": [
        (whole_run(parents_started=set()), "which main-sync:acme:pco:full never had"),
    ],
    "runs-end-or-wait": [
        (journal(FIRST, replace(WAITING, reason="")), "no reason says why"),
        (journal(FIRST, replace(WAITING, due=0)), "without a deadline"),
        (journal(FIRST, replace(WAITING, due=1)), "its deadline passed"),
        (journal(main_sync(WAITING, **RUNNING), LAST), "none of its entities"),
        (whole_run(runs=[run(state="open")]), "its workflow is done in run 100"),
    ],
    "pages-are-committed-once": [
        (audited(PAGE_1, PAGE_2, replace(PAGE_1, id=9)), "page 1 of parent '' was committed 2"),
        (audited(PAGE_1), "committed (1, 7, 0), and the database says (2, 12, 0)"),
        (whole_run(runs=[]), "it is not in sluice_runs"),
    ],
    "runs-write-while-open": [
        (audited(PAGE_1, replace(PAGE_2, state="cancelled")), "while the run was cancelled"),
        (audited(PAGE_1, replace(PAGE_2, id=9)), "behind the run's end (done"),
        (OVERTAKEN, "line 5"),
        (whole_run(changes=[*whole_run().changes, OPENED_AGAIN]), "done (change 4), then open (9)"),
    ],
    "rows-equal-the-source": [
        (table(rows=11), "11 rows, and the source has 12"),
        (table(sha256="bb"), "with other contents"),
        (table(faults=("row 7 lies",)), "row 7 lies"),
        (replace(table(), tables=[]), "0 rows"),
        (table(org="gamma"), "no such organisation"),
    ],
    "rows-have-a-page": [
        (table(places=frozenset({(RUN_ID, None, 3)})), "that page was never committed"),
        (table(places=frozenset({(RUN_ID, "p", 1)})), "that page was never committed"),
        (table(places=frozenset({("else", None, 1)})), "it is no run of theirs"),
    ],
    "committed-pages-are-not-requested-again": [
        (requested(1, 2.5), "requested 0.500 s after its commit"),
        (requested(1, 2.5, REPAIRED), "requested 0.500 s after its commit"),
        (requested(1, 7, REPAIRED), "requested 5.000 s after its commit"),
        (requested(1, -1), "before any run of the entity was opened"),
        (requested(1, 7, audited(*OF_BOTH_RUNS, PAGE_1_AGAIN, **BOTH_RUNS)), "after its commit"),
    ],
    "requests-run-once": [
        (journal(*TWICE), "it has the runs [1, 9]"),
        (journal(TWICE[0], replace(TWICE[0], seq=2, history=(event(2, request="r", run=7),))), "has the runs [1, 7]"),
        *((journal(*TWICE, entry(1, parent_run=run)), "it has the runs [1, 9]") for run in (1, 9)),
    ],
}
