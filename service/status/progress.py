"""Progress of the projector in one partition of the journal: up to where it is published. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

from tables.changelog import ChangelogRecord, guard_in
from tables.row import GUARD


class Progress(NamedTuple):
    """Kept in the database, in the transaction of what is published; so a database that lost some lost this, too.

    `next_offset` is the first that is not published, `epoch` the highest before it (tables.changelog).
    """

    next_offset: int = 0
    epoch: int = 0

    def reading(self, records: Sequence[ChangelogRecord]) -> tuple["Progress", list[ChangelogRecord]]:
        """The progress behind these records, and those of them that count.

        A log that begins before it has been read before, or has lost its end.
        """
        epoch = self.epoch if records[0].offset >= self.next_offset else 0
        counting = []
        for record in records:
            guard = guard_in(record)
            of_writer = epoch if guard is None else GUARD.unpack(guard)[0]
            if of_writer >= epoch:
                epoch = of_writer
                counting.append(record)
        return Progress(records[-1].offset + 1, epoch), counting


class Step(NamedTuple):
    """A step of the progress in one partition."""

    partition: int
    before: Progress
    after: Progress
