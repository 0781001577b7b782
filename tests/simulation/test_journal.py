"""The simulation's reader of the journal: it accepts whole histories and reports broken ones."""

from typing import Any

import pytest

from tables.kinds.entity import EntityState, EntityStatus
from tables.row import Row, encode_row
from tests.simulation.journal import Entry, Lineage


def entry(seq: int, epoch: int = 1, by: str = "one", status: EntityStatus = "fetching", run: int = 1) -> Entry:
    state = EntityState("acme", "toy", "a.pet", "full", "chain", "main-sync:acme:toy:full", 1, run, 0, status=status)
    row = Row[Any](epoch=epoch, seq=seq, state=state)
    return Entry(seq, by, encode_row(row), row)


FOUND = (entry(1), entry(2, run=4), entry(3, run=4))
FROZEN = (entry(1, epoch=2, by="frozen"), entry(2, epoch=2, by="frozen", run=5))
LEGAL = {
    "without gaps": (entry(1), entry(2), entry(2), entry(3, status="finishing"), entry(4, status="done")),
    "a gap that was lost with a process, left by its successor": (entry(1), entry(3, by="two")),
    "a record with a lower guard than one before it": (entry(1), entry(2, epoch=2, by="two"), entry(7, run=9)),
    "a successor's record instead of a frozen process's": (
        entry(1), entry(2, status="finishing"), entry(2, epoch=2, by="two"),
    ),
    "a successor of what it found, not of what a frozen process wrote meanwhile": (
        *FOUND, *FROZEN, entry(3, epoch=3, by="next", run=4),
    ),
}  # fmt: skip
BROKEN = {
    "a gap between seq 1 and 3": (entry(1), entry(3)),
    "two records of 1, 2 differ": (entry(1), entry(2), entry(2, by="two", status="finishing")),
    "goes from done to fetching": (entry(1, status="done"), entry(2, status="fetching")),
    "run 4 follows 5": (entry(1, run=5), entry(2, run=4)),
    "one takes back seq 2 at offset 1": (entry(1), entry(2), entry(1, epoch=2)),
}


def violations(entries: tuple[Entry, ...]) -> list[str]:
    lineage = Lineage("pet")
    for one in entries:
        lineage.add(one)
    return list(lineage.violations())


@pytest.mark.parametrize("entries", LEGAL.values(), ids=LEGAL)
def test_a_whole_history_has_no_violation(entries: tuple[Entry, ...]) -> None:
    assert violations(entries) == []


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_history_has_one(what: str) -> None:
    (found,) = violations(BROKEN[what])
    assert found.endswith(what)
