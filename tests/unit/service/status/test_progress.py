"""The progress in a partition of the journal, over records of several processes."""

from service.status.progress import Progress
from tables.changelog import tombstone_headers
from tables.row import Row, encode_row
from tests.engine.broker import LogRecord


def put(offset: int, epoch: int) -> LogRecord:
    return LogRecord("journal", 0, offset, 0, b"a", encode_row(Row[None](epoch=epoch, seq=1)), ())


def tombstone(offset: int, epoch: int = 0) -> LogRecord:
    return LogRecord("journal", 0, offset, 0, b"a", None, tombstone_headers(epoch, 1) if epoch else ())


def read(progress: Progress, *records: LogRecord) -> tuple[Progress, list[int]]:
    after, counting = progress.reading(records)
    return after, [record.offset for record in counting]


def test_records_of_a_lower_epoch_than_one_before_them_are_not_published() -> None:
    assert read(Progress(), put(0, 1), put(1, 5), put(2, 1), tombstone(3, 1), tombstone(4, 5)) == (
        Progress(5, 5),
        [0, 1, 4],
    )


def test_the_epoch_is_remembered_from_one_reading_to_the_next() -> None:
    assert read(Progress(3, 5), put(3, 1), put(7, 6)) == (Progress(8, 6), [7])


def test_a_log_that_is_read_from_further_in_front_is_read_anew() -> None:
    assert read(Progress(3, 5), put(0, 1)) == (Progress(1, 1), [0])


def test_a_tombstone_without_a_guard_counts() -> None:
    assert read(Progress(3, 5), tombstone(3)) == (Progress(4, 5), [3])
