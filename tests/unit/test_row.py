import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tables.catalog import read_row
from tables.kinds.sync import Child, SyncState
from tables.row import (
    HISTORY_MAX,
    REQUEST_IDS_MAX,
    ROW_VERSION,
    Row,
    due_of,
    encode_row,
    generation_of,
    guard_of,
    next_generation,
)
from topics.errors import Broken

STATE = SyncState(org="acme", adapter="toy", type="full", run=7, request="r", started_at=5, children={"a": Child()})
NUMBERS = st.integers(0, 2**64 - 1)


def test_a_record_reads_as_it_was_written() -> None:
    row = Row(generation=2, seq=3, due=4, state=STATE, last_offset={"control": 9}, seen=("a",)).with_event(
        5, "id", "note"
    )
    assert read_row(encode_row(row)) == row


def test_the_deadline_is_read_without_the_rest() -> None:
    assert due_of(encode_row(Row(due=1_700_000_000_000))) == 1_700_000_000_000


@given(NUMBERS, NUMBERS, NUMBERS, NUMBERS)
def test_guards_compare_as_generation_and_then_seq(generation: int, seq: int, other: int, other_seq: int) -> None:
    one = Row[SyncState](generation=generation, seq=seq)
    two = Row[SyncState](generation=other, seq=other_seq, due=5)
    assert (guard_of(encode_row(one)) < guard_of(encode_row(two))) == ((generation, seq) < (other, other_seq))


def test_an_offset_up_to_the_last_one_of_its_topic_is_a_replay() -> None:
    row = Row[SyncState](last_offset={"control": 9})
    assert [row.has_folded("control", offset) for offset in (8, 9, 10)] == [True, True, False]
    assert not row.has_folded("page-done", 0)


def test_of_seen_ids_the_oldest_is_forgotten_first() -> None:
    row = Row[SyncState]()
    for number in range(REQUEST_IDS_MAX + 2):
        row = row.with_request(str(number))
    assert (row.seen[0], row.seen[-1], len(row.seen)) == ("2", str(REQUEST_IDS_MAX + 1), REQUEST_IDS_MAX)


def test_of_the_trail_the_oldest_is_forgotten_first() -> None:
    row = Row[SyncState]()
    for number in range(HISTORY_MAX + 2):
        row = row.with_event(number, "id", "note")
    assert (row.trail[0].at, row.trail[-1].at, len(row.trail)) == (2, HISTORY_MAX + 1, HISTORY_MAX)


def test_a_record_of_a_newer_version_stops_the_process() -> None:
    newer = encode_row(Row(version=ROW_VERSION + 1, state=STATE))
    with pytest.raises(Broken, match="finish the upgrade, or go back to the newer release"):
        read_row(newer)


@pytest.mark.parametrize("value", [b"", b"\0" * 24, b"\0" * 24 + b"{", b"\0" * 24 + b'{"state":{"kind":"nothing"}}'])
def test_what_is_no_record_stops_the_process(value: bytes) -> None:
    with pytest.raises(Broken, match="cannot be read"):
        read_row(value)


def test_a_field_of_a_newer_program_is_passed_over() -> None:
    row = Row(seq=1, state=STATE)
    document = msgspec.json.decode(encode_row(row)[24:]) | {"colour": "red"}
    assert read_row(encode_row(row)[:24] + msgspec.json.encode(document)) == row


def test_a_life_that_begins_later_outranks_one_of_the_same_group_generation() -> None:
    assert next_generation(1, 1_000, newest=0) < next_generation(1, 1_001, newest=0)


def test_a_life_in_a_newer_group_generation_outranks_one_whose_clock_is_ahead() -> None:
    assert next_generation(1, 4_000_000_000_000, newest=0) < next_generation(2, 1_000, newest=0)


def test_a_life_outranks_everything_in_its_table_whatever_its_clock_says() -> None:
    assert next_generation(1, 1_000, newest=2**50) == 2**50 + 1


def test_the_generation_of_a_record_is_read_without_decoding_it() -> None:
    assert generation_of(encode_row(Row(generation=2**50, seq=7, state=STATE))) == 2**50
