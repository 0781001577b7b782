"""Made-up evidence, small enough to read: one entity's run that is in order, which tests then damage."""

from typing import Any

from msgspec.structs import replace

from tests.checker.entries import Entry, Event
from tests.checker.evidence import Evidence
from tests.checker.values import AuditLine, LogFacts, PageResult, Proof, Run, RunChange

KEY = "entity-sync:acme:pco:people.person:full"
MAIN = "main-sync:acme:pco:full"
RUN = 100
RUN_ID = f"{KEY}@{RUN}"
T0 = 1_700_000_000.0  # Unix seconds
PLACES = ("offset", "epoch", "last_offset", "history", "due_set_at")  # where a record stands, not what it says


def entry(seq: int, **more: Any) -> Entry:
    """A record of the entity; its state is what is given."""
    plain = {"status": "fetching", "due": 1, "due_set_at": 1, "run": RUN, "parent": MAIN, "parent_run": 50}
    given = {**plain, "offset": seq, "epoch": 1, **more}
    state = repr(sorted((name, value) for name, value in given.items() if name not in PLACES)).encode()
    return Entry(key=KEY, partition=0, seq=seq, kind="entity", state=state, **given)


def main_sync(like: Entry, request: str = "", **children: str) -> Entry:
    """A record of the main sync that runs, with its entities in these states; its run is of the request."""
    names, statuses = tuple(children), tuple(children.values())
    history = (*like.history[:-1], event(like.seq, request=request, run=like.run)) if request else like.history
    plain = replace(like, key=MAIN, kind="sync", status="running", parent="", parent_run=0, leases=())
    return replace(plain, request=request, children=names, child_statuses=statuses, history=history)


def event(seq: int, cause: str = "c", request: str = "", run: int = 0) -> Event:
    return Event(seq, seq, cause, "happened", request, run)


def at(control: int = 0, page_done: int = -1) -> tuple[tuple[str, int], ...]:
    """Positions in the topics."""
    return (("control", control), ("page-done", page_done))


def whole_run(**more: Any) -> Evidence:
    """Started, then a lease, then the last lease, which closed the run: three records, two pages."""
    plain = Evidence(
        read_at_ms=int(T0 * 1000),
        logs=[LogFacts("control", 0, 0, 1, 1), LogFacts("page-done", 0, 0, 2, 2)],
        results={(0, 0): result(lease=1, records=7), (0, 1): result(lease=2, first=2, records=5)},
        parents_started={(MAIN, 50)},
        offsets={("control", 0, KEY): [0], ("page-done", 0, KEY): [0, 1]},
        journal=[
            entry(1, leases=((1, 1, 1),), last_offset=at()),
            entry(2, leases=((2, 1, 2),), units=1, pages=1, records=7, last_offset=at(page_done=0)),
            entry(3, status="done", units=2, pages=2, records=12, last_offset=at(page_done=1)),
        ],
        audit=[line(2, 1, 7), line(3, 2, 5)],
        changes=[RunChange(1, RUN_ID, "open", 1, T0), RunChange(4, RUN_ID, "done", 4, T0 + 4)],
        runs=[run()],
    )
    return replace(plain, **more)


def journal(*entries: Entry) -> Evidence:
    """The run with another journal."""
    return whole_run(journal=list(entries))


def result(lease: int, first: int = 1, records: int = 7) -> PageResult:
    return PageResult(workflow=KEY, run=RUN, lease=lease, first=first, units=1, pages=1, records=records)


def line(number: int, page: int, records: int, **more: Any) -> AuditLine:
    plain = AuditLine(number, RUN_ID, "", page, records, rejected=0, state="open", txid=number, at=T0 + number)
    return replace(plain, **more)


def run(**more: Any) -> Run:
    proof = Proof(complete=True, reason="all boundaries between pages meet", pages=2)
    plain = Run(RUN_ID, KEY, RUN, "acme", "pco", "people.person", "done", 2, records=12, rejected=0, proof=proof)
    return replace(plain, **more)
