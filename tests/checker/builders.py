"""Made-up evidence, small enough to read: one entity's run that is in order, for tests to spoil."""

from dataclasses import replace
from typing import Any

from tests.checker.entries import Entry
from tests.checker.evidence import AuditLine, Evidence, LogFacts, Run, RunChange, Told

KEY = "entity-sync:acme:pco:people.person:full"
MAIN = "main-sync:acme:pco:full"
RUN = 100
RUN_ID = f"{KEY}@{RUN}"
T0 = 1_700_000_000.0  # Unix seconds
PLACES = ("offset", "generation", "last_offset", "trail")  # where a record stands, not what it says


def entry(seq: int, **more: Any) -> Entry:
    """A record of the entity; the state is told apart by what is given."""
    plain = {"status": "fetching", "due": 1, "run": RUN, "parent": MAIN, "parent_run": 50, "offset": seq}
    given = {**plain, "generation": 1, **more}
    state = repr(sorted((name, value) for name, value in given.items() if name not in PLACES)).encode()
    return Entry(key=KEY, partition=0, seq=seq, kind="entity", state=state, **given)


def at(control: int = 0, page_done: int = -1) -> tuple[tuple[str, int], ...]:
    """Positions in the topics."""
    return (("control", control), ("page-done", page_done))


def whole_run() -> Evidence:
    """Started, two leases told, done: four records, two pages."""
    return Evidence(
        read_at_ms=int(T0 * 1000),
        logs=(LogFacts("control", 0, 0, 1, 1), LogFacts("page-done", 0, 0, 2, 2)),
        told={(0, 0): told(lease=1, records=7), (0, 1): told(lease=2, first=2, records=5)},
        asked=frozenset({(MAIN, 50)}),
        events={("control", 0, KEY): [0], ("page-done", 0, KEY): [0, 1]},
        journal=(
            entry(1, leases=((1, 1, 1),), last_offset=at()),
            entry(2, leases=((2, 1, 2),), units=1, pages=1, records=7, last_offset=at(page_done=0)),
            entry(3, status="done", units=2, pages=2, records=12, last_offset=at(page_done=1)),
        ),
        audit=(line(2, 1, 7), line(3, 2, 5)),
        changes=(RunChange(1, RUN_ID, "open", 1, T0), RunChange(4, RUN_ID, "done", 4, T0 + 4)),
        runs=(run(),),
    )


def told(lease: int, first: int = 1, records: int = 7, **more: int) -> Told:
    given = {"attempt": 1, "units": 1, "pages": 1, "rejected": 0, **more}
    return Told(workflow=KEY, run=RUN, lease=lease, first=first, records=records, **given)


def line(number: int, page: int, records: int, **more: Any) -> AuditLine:
    plain = AuditLine(number, RUN_ID, "", page, records, rejected=0, state="open", txid=number, at=T0 + number)
    return replace(plain, **more)


def run(**more: Any) -> Run:
    plain = Run(RUN_ID, KEY, RUN, "acme", "pco", "people.person", "done", pages=2, records=12, rejected=0)
    return replace(plain, **more)
