"""The simulation's reader of the journal tells a whole history from one that was broken."""

from tables.catalog import State
from tables.kinds.entity import EntityState, EntityStatus
from tables.row import Row, encode_row
from tests.simulation.journal import Entry, Lineage


def entry(seq: int, generation: int = 1, by: str = "one", status: EntityStatus = "fetching", run: int = 1) -> Entry:
    state = EntityState("acme", "toy", "a.pet", "full", "chain", "main-sync:acme:toy:full", 1, run, 0, status=status)
    row = Row[State](generation=generation, seq=seq, state=state)
    return Entry(seq, by, encode_row(row), row)


def broken(*entries: Entry) -> list[str]:
    lineage = Lineage("pet")
    for one in entries:
        lineage.add(one)
    return list(lineage.violations())


def test_a_history_without_gaps_is_whole() -> None:
    assert broken(entry(1), entry(2), entry(2), entry(3, status="finishing"), entry(4, status="done")) == []


def test_one_process_leaves_no_gap() -> None:
    assert broken(entry(1), entry(3)) == ["pet: a gap between seq 1 and 3"]


def test_what_was_lost_with_a_process_is_a_gap_that_its_successor_may_leave() -> None:
    assert broken(entry(1), entry(3, by="two")) == []


def test_a_record_that_was_outdone_before_it_came_does_not_count() -> None:
    assert broken(entry(1), entry(2, generation=2, by="two"), entry(7, run=9)) == []


def test_a_successor_may_outdo_what_a_frozen_process_wrote() -> None:
    assert broken(entry(1), entry(2, status="finishing"), entry(2, generation=2, by="two")) == []


def test_two_records_of_one_number_that_differ_are_told() -> None:
    assert broken(entry(1), entry(2), entry(2, by="two", status="finishing")) == ["pet: two records of 1, 2 differ"]


def test_a_run_does_not_come_back_from_its_end() -> None:
    (told,) = broken(entry(1, status="done"), entry(2, status="fetching"))
    assert told.endswith("goes from done to fetching")


def test_runs_grow() -> None:
    assert broken(entry(1, run=5), entry(2, run=4)) == ["pet: run 4 follows 5"]


def test_a_successor_goes_on_from_what_it_found_not_from_what_a_frozen_process_wrote_meanwhile() -> None:
    found = (entry(1), entry(2, run=4), entry(3, run=4))
    meanwhile = (entry(1, generation=2, by="frozen"), entry(2, generation=2, by="frozen", run=5))
    assert broken(*found, *meanwhile, entry(3, generation=3, by="next", run=4)) == []


def test_a_process_does_not_take_back_what_it_wrote() -> None:
    assert broken(entry(1), entry(2), entry(1, generation=2)) == ["pet: one takes back seq 2 at offset 1"]
