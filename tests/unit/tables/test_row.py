import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.kinds import SHIPPED
from tables.kinds.sync import Child, SyncState
from tables.row import (
    HISTORY_MAX,
    ROW_VERSION,
    Deadline,
    HistoryEntry,
    Row,
    deadline_of,
    encode_row,
    guard_of,
    next_epoch,
)
from topics.errors import Broken

STATE = SyncState(org="acme", adapter="toy", type="full", run=7, request="r", started_at=5, children={"a": Child()})
NUMBERS = st.integers(0, 2**64 - 1)


def entry(seq: int) -> HistoryEntry:
    return HistoryEntry(seq, 5, "cause", "started", "request-1", 7)


def test_a_record_reads_as_it_was_written() -> None:
    row = Row(epoch=2, seq=3, due=4, due_set_at=1, state=STATE, last_offset={"control": 9}, request_ids=("a",))
    assert SHIPPED.read_row(encode_row(row.with_event(entry(3)))) == row.with_event(entry(3))


def test_the_deadline_is_read_without_the_rest() -> None:
    value = encode_row(Row(epoch=2**50, seq=7, due=1_700_000_000_000, due_set_at=1_600_000_000_000, state=STATE))
    assert deadline_of(value) == Deadline(1_700_000_000_000, 1_600_000_000_000)
    assert deadline_of(encode_row(Row(due=0, due_set_at=5, state=STATE))) is None


@given(NUMBERS, NUMBERS, NUMBERS, NUMBERS)
def test_guards_compare_as_epoch_and_then_seq(epoch: int, seq: int, other: int, other_seq: int) -> None:
    one = Row[SyncState](epoch=epoch, seq=seq)
    two = Row[SyncState](epoch=other, seq=other_seq, due=5)
    assert (guard_of(encode_row(one)) < guard_of(encode_row(two))) == ((epoch, seq) < (other, other_seq))


def test_of_the_history_the_oldest_entry_is_dropped_first() -> None:
    row = Row[SyncState]()
    for number in range(HISTORY_MAX + 2):
        row = row.with_event(entry(number))
    assert [one.seq for one in row.history] == list(range(2, HISTORY_MAX + 2))


def test_a_record_of_a_newer_version_stops_the_process() -> None:
    newer = encode_row(Row(version=ROW_VERSION + 1, state=STATE))
    with pytest.raises(Broken, match="finish the upgrade, or go back to the newer release"):
        SHIPPED.read_row(newer)


@pytest.mark.parametrize("value", [b"", b"\0" * 24, b"\0" * 24 + b"{", b"\0" * 24 + b'{"state":{"kind":"nothing"}}'])
def test_what_is_no_record_stops_the_process(value: bytes) -> None:
    with pytest.raises(Broken, match="cannot be read"):
        SHIPPED.read_row(value)


def test_a_field_of_a_newer_program_is_ignored() -> None:
    row = Row(seq=1, state=STATE)
    document = msgspec.json.decode(encode_row(row)[24:]) | {"colour": "red"}
    assert SHIPPED.read_row(encode_row(row)[:24] + msgspec.json.encode(document)) == row


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ((1, 1_000, 0), (1, 1_001, 0)),  # a life that begins later in the same generation of its group
        ((1, 4_000_000_000_000, 0), (2, 1_000, 0)),  # a newer generation, whatever the clocks say
    ],
)
def test_an_epoch_grows_with_the_generation_and_then_with_the_time(
    older: tuple[int, int, int], newer: tuple[int, int, int]
) -> None:
    assert next_epoch(*older) < next_epoch(*newer)


def test_an_epoch_is_above_every_record_of_its_table_whatever_the_clock_says() -> None:
    assert next_epoch(1, 1_000, newest=2**50) == 2**50 + 1
