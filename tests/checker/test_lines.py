"""Winning lines: what a successor has not seen does not count, whoever holds its store by then."""

from tests.checker.entries import Entry, Event
from tests.checker.lines import lines_of

A, B = "entity-sync:acme:toy:a:full", "entity-sync:acme:toy:b:full"


def record(key: str, offset: int, epoch: int, seq: int, is_first: bool = False, state: bytes = b"") -> Entry:
    history = (Event(seq if is_first else 1, seq, "cause"),)
    return Entry(
        key=key, partition=0, offset=offset, epoch=epoch, seq=seq, status="fetching", history=history, state=state
    )


CUT_OFF = (record(A, 0, 1, 5, is_first=True), record(A, 1, 1, 6), record(B, 2, 1, 7, is_first=True))
SUCCESSOR = record(A, 3, 2, 6, state=b"decided anew")  # it had read up to offset 0


def seqs(*journal: Entry) -> dict[str, list[int]]:
    return {line.key: [win.seq for win in line.wins] for line in lines_of(journal)}


def test_a_workflow_begins_again_where_a_successor_had_not_read_of_it() -> None:
    assert seqs(*CUT_OFF, SUCCESSOR, record(B, 4, 2, 90, is_first=True)) == {A: [5, 6], B: [90]}


def test_whoever_gets_the_successors_store_has_not_read_of_it_either() -> None:
    assert seqs(*CUT_OFF, SUCCESSOR, record(B, 4, 3, 90, is_first=True)) == {A: [5, 6], B: [90]}


def test_what_the_successor_had_read_is_never_begun_again() -> None:
    known = record(A, 3, 2, 7)
    assert seqs(*CUT_OFF, known, record(B, 4, 3, 90, is_first=True)) == {A: [5, 6, 7], B: [7, 90]}
