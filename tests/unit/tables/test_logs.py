import msgspec
import pytest

from agents.kinds import SHIPPED
from tables.kinds.sync import SyncState
from tables.logs import (
    KEY,
    FirstRecord,
    FoundLog,
    SourceLog,
    SourceLogs,
    decode_logs,
    encode_logs,
    is_another_log,
    under,
)
from tables.row import Row, encode_row
from topics.errors import Broken

KNOWN = SourceLogs().finding("control", FoundLog("topic-1", 0, 0), 0).finding("page-done", FoundLog("topic-2", 0, 0), 0)


@pytest.mark.parametrize(
    ("topic_id", "reached", "found", "is_another"),
    [
        ("one", 7, FoundLog("one", 0, 7), False),
        ("one", 7, FoundLog("one", 9, 12), False),
        ("one", 7, FoundLog("two", 0, 100), True),
        ("one", 7, FoundLog("one", 0, 6), True),
        ("one", 7, FoundLog("one", 0, 9, leader_epoch=3, kept=7), False),
        ("one", 7, FoundLog("one", 0, 9, leader_epoch=3, kept=6), True),
        ("", 7, FoundLog("one", 0, 7), False),
        ("one", 7, FoundLog("", 0, 7), False),
        ("", 0, FoundLog("one", 0, 0), False),
    ],
    ids=[
        "the_same",
        "records_retired",
        "created_again",
        "cut_short",
        "another_leader",
        "cut_and_longer_again",
        "id_learnt",
        "id_not_known_now",
        "nothing_read",
    ],
)
def test_a_log_is_another_one_by_its_topics_id_or_by_an_end_before_what_was_read(
    topic_id: str, reached: int, found: FoundLog, is_another: bool
) -> None:
    assert is_another_log(topic_id, reached, found) is is_another


def test_the_first_logs_found_begin_no_incarnation() -> None:
    assert (KNOWN.incarnation, KNOWN.since("control"), KNOWN.since("start-sync")) == (0, 0, 0)


def test_finding_the_same_log_again_changes_nothing() -> None:
    assert KNOWN.finding("control", FoundLog("topic-1", 3, 9), 9) is KNOWN


def test_another_log_begins_an_incarnation_and_leaves_the_other_topics_logs_in_theirs() -> None:
    after = KNOWN.finding("control", FoundLog("topic-9", 0, 2), 7)
    assert (after.incarnation, after.since("control"), after.since("page-done")) == (1, 1, 0)


def test_each_cut_of_one_log_begins_an_incarnation() -> None:
    once = KNOWN.finding("control", FoundLog("topic-1", 0, 5), 7)
    twice = once.finding("control", FoundLog("topic-1", 0, 4), 6)
    assert (once.since("control"), twice.since("control")) == (1, 2)


def test_another_leader_of_the_same_log_is_noted_and_begins_no_incarnation() -> None:
    after = KNOWN.finding("control", FoundLog("topic-1", 0, 9, leader_epoch=2, kept=7), 7)
    assert (after.incarnation, after.log("control")) == (0, SourceLog("topic-1", leader_epoch=2))


def test_an_offset_up_to_the_last_one_of_its_topic_is_a_replay() -> None:
    row = Row[SyncState](last_offset={"control": 9})
    assert [KNOWN.has_folded(row, "control", offset) for offset in (8, 9, 10, None)] == [True, True, False, False]
    assert not KNOWN.has_folded(row, "page-done", 0)


def test_an_offset_of_another_log_is_no_replay_until_it_is_folded_in_itself() -> None:
    row = Row[SyncState](last_offset={"control": 9, "page-done": 4})
    after = KNOWN.finding("control", FoundLog("topic-9", 0, 2), 10)
    assert (after.has_folded(row, "control", 0), after.has_folded(row, "page-done", 4)) == (False, True)
    row = after.folding(row, "control", 0)
    assert (row.last_offset, row.incarnation) == ({"control": 0, "page-done": 4}, 1)
    assert [after.has_folded(row, "control", offset) for offset in (0, 1)] == [True, False]


def test_an_event_of_one_topic_forgets_offsets_of_logs_that_are_gone() -> None:
    row = Row[SyncState](last_offset={"control": 9, "page-done": 4})
    after = KNOWN.finding("control", FoundLog("topic-9", 0, 2), 10).folding(row, "page-done", 5)
    assert (after.last_offset, after.incarnation) == ({"page-done": 5}, 1)


def test_a_local_delivery_changes_no_offsets() -> None:
    row = Row[SyncState](last_offset={"control": 9})
    assert KNOWN.finding("control", FoundLog("topic-9", 0, 2), 10).folding(row, "", None) is row


def test_a_log_was_read_as_far_as_any_workflow_of_it_was() -> None:
    rows = [Row[SyncState](last_offset={"control": last, "page-done": 3}) for last in (4, 9, 2)]
    assert KNOWN.reached(map(encode_row, rows)) == {"control": 10, "page-done": 4}
    another = KNOWN.finding("control", FoundLog("topic-9", 0, 2), 10)
    assert another.reached(map(encode_row, rows)) == {"page-done": 4}


def test_read_as_a_workflow_the_record_has_no_state() -> None:
    assert SHIPPED.read_row(encode_logs(KNOWN)).state is None


def test_each_change_outranks_the_one_before() -> None:
    assert encode_logs(KNOWN.finding("control", FoundLog("topic-9", 0, 2), 7))[:16] > encode_logs(KNOWN)[:16]


def test_the_record_of_logs_is_read_as_it_was_written() -> None:
    assert decode_logs(encode_logs(KNOWN)) == KNOWN


def test_an_epoch_begins_with_the_logs_that_were_known() -> None:
    known = SourceLogs(epoch=7, seq=3, incarnation=2, logs={"control": SourceLog("id", 2)})
    first = FirstRecord(under(encode_logs(known), 9), offset=4)
    assert (first.key, first.epoch, decode_logs(first.value)) == (KEY, 9, msgspec.structs.replace(known, epoch=9))
    assert decode_logs(under(None, 9)) == SourceLogs(epoch=9)


def test_a_record_that_is_none_stops_the_process() -> None:
    with pytest.raises(Broken, match="cannot be read"):
        decode_logs(bytes(24) + b"{")
