import pytest

from agents.core.reading import LostRecords, begin_reading
from tables.logs import FoundLog, SourceLogs

KNOWN = SourceLogs().finding("control", FoundLog("topic-1", 0, 0, leader_epoch=1), 0)


@pytest.mark.parametrize(
    ("found", "committed", "reached", "offset", "lost"),
    [
        (FoundLog("topic-1", 0, 9), 7, 7, 7, None),
        (FoundLog("topic-1", 0, 9), 5, 7, 5, None),
        (FoundLog("topic-1", 0, 9), None, 0, 0, None),
        (FoundLog("topic-1", 3, 9), None, 7, 3, None),
        (FoundLog("topic-1", 8, 9), 5, 7, 8, (5, 8)),
        (FoundLog("topic-1", 9, 9), None, 7, 9, (7, 9)),
        (FoundLog("topic-1", 4, 9), None, 0, 4, (0, 4)),
        (FoundLog("topic-1", 0, 9, leader_epoch=2, kept=7), 7, 7, 7, None),
    ],
    ids=[
        "from_the_committed_offset", "replays_after_a_crash", "for_the_first_time", "with_the_groups_offsets_gone",
        "records_gone", "records_and_the_groups_offsets_gone", "records_gone_before_the_first_time", "another_leader",
    ],
)  # fmt: skip
def test_the_known_log_is_read_on(
    found: FoundLog, committed: int | None, reached: int, offset: int, lost: tuple[int, int] | None
) -> None:
    beginning = begin_reading(KNOWN, "control", 3, found, committed, reached)
    assert (beginning.offset, beginning.logs.incarnation) == (offset, 0)
    assert beginning.lost == (LostRecords("control", 3, *lost) if lost else None)


@pytest.mark.parametrize(
    ("found", "committed", "reached", "offset"),
    [
        (FoundLog("topic-1", 0, 5, leader_epoch=2, kept=5), 7, 7, 5),
        (FoundLog("topic-1", 0, 90, leader_epoch=2, kept=5), 7, 7, 5),
        (FoundLog("topic-1", 0, 90, leader_epoch=2, kept=6), 4, 8, 4),
        (FoundLog("topic-1", 6, 90, leader_epoch=2, kept=5), 7, 7, 6),
        (FoundLog("topic-1", 2, 5), 7, 7, 2),
        (FoundLog("topic-2", 0, 90, leader_epoch=0, kept=50), 7, 7, 0),
        (FoundLog("topic-2", 3, 90), None, 7, 3),
    ],
    ids=[
        "cut", "cut_and_longer_again", "cut_after_a_crash", "cut_and_records_gone", "cut_nobody_knows_where",
        "created_again", "created_again_and_records_gone",
    ],
)  # fmt: skip
def test_another_log_is_read_from_where_it_differs(
    found: FoundLog, committed: int | None, reached: int, offset: int
) -> None:
    beginning = begin_reading(KNOWN, "control", 3, found, committed, reached)
    assert (beginning.offset, beginning.logs.since("control"), beginning.lost) == (offset, 1, None)


def test_lost_records_are_named_and_counted() -> None:
    assert str(LostRecords("start-sync", 3, 17, 1_042)) == (
        "start-sync/3: records 17 to 1041 (1,025) left the broker before they were read, by its retention or because "
        "somebody deleted them"
    )
