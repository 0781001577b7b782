import pytest

from tables.logs import FoundLog, SourceLogs, decode_logs, encode_logs, is_another_log
from topics.errors import Broken

KNOWN = SourceLogs().finding("control", FoundLog("topic-1", 0, 0), 0).finding("page-done", FoundLog("topic-2", 0, 0), 0)


@pytest.mark.parametrize(
    ("topic_id", "reached", "found", "is_another"),
    [
        ("one", 7, FoundLog("one", 0, 7), False),
        ("one", 7, FoundLog("one", 9, 12), False),
        ("one", 7, FoundLog("two", 0, 100), True),
        ("one", 7, FoundLog("one", 0, 6), True),
        ("", 7, FoundLog("one", 0, 7), False),
        ("one", 7, FoundLog("", 0, 7), False),
        ("", 0, FoundLog("one", 0, 0), False),
    ],
    ids=["the_same", "records_retired", "created_again", "cut_short", "id_learnt", "id_not_known_now", "nothing_read"],
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


def test_each_change_outranks_the_one_before() -> None:
    assert encode_logs(KNOWN.finding("control", FoundLog("topic-9", 0, 2), 7))[:16] > encode_logs(KNOWN)[:16]


def test_the_record_of_logs_is_read_as_it_was_written() -> None:
    assert decode_logs(encode_logs(KNOWN)) == KNOWN


def test_a_record_that_is_none_stops_the_process() -> None:
    with pytest.raises(Broken, match="cannot be read"):
        decode_logs(bytes(24) + b"{")
