"""The beginning of reading: the offset from which a partition's log is read on, and what of it is gone. Pure."""

from dataclasses import dataclass
from typing import NamedTuple

from tables.logs import FoundLog, SourceLogs, is_another_topic

STOPPED_AT_LOSS = (
    "The process ends, as SLUICE_LOST_RECORDS=stop says; with SLUICE_LOST_RECORDS=continue it continues behind them"
)


@dataclass(frozen=True, slots=True)
class LostRecords:
    """Records from `first` to before `end` that left the broker before they were read."""

    topic: str
    partition: int
    first: int
    end: int

    @property
    def count(self) -> int:
        return self.end - self.first

    def __str__(self) -> str:
        return (
            f"{self.topic}/{self.partition}: records {self.first} to {self.end - 1} ({self.count:,}) left the broker "
            "before they were read, by its retention or because somebody deleted them"
        )


class Beginning(NamedTuple):
    """Where reading begins, the partition's logs as they are known from now on, and what is lost, if anything is."""

    offset: int
    logs: SourceLogs
    lost: LostRecords | None


def begin_reading(
    logs: SourceLogs, topic: str, partition: int, found: FoundLog, committed: int | None, reached: int
) -> Beginning:
    """Where the log that was found is read from, after it was read up to `committed` (None: not known).

    Events up to before `reached` are folded in a workflow. A log that was cut is read on from the cut, another one from
    its beginning; so is a cut one of which nobody knows where the cut is: what was handled before changes nothing.
    """
    before, after = logs.log(topic), logs.finding(topic, found, max(committed or 0, reached))
    start = found.begin if committed is None else max(committed, found.begin)
    if after.since(topic) == before.since:
        expected = reached if committed is None else committed
        lost = LostRecords(topic, partition, expected, found.begin) if expected < found.begin else None
        return Beginning(start, after, lost)
    is_cut = found.kept is not None and not is_another_topic(before.topic_id, found.topic_id)
    return Beginning(max(min(start, found.kept or 0), found.begin) if is_cut else found.begin, after, None)
