"""The outbox of a poll: the effects of its batches until they are published, one Kafka batch per target."""

from collections.abc import Sequence
from typing import Any

from agents.core.batch import Batch, Out, Record
from topics.errors import Broken

RECORDS_MAX = 500  # at the maximum it is published before the end of the poll, so that others can begin


def check_order(expected: int | None, records: Sequence[Record], partition: str) -> None:
    """Broken if records between `expected` (the next offset, None if not known yet) and the last one are missing.

    A watermark needs this: stock Faust can jump ahead after a recovery, and whatever it jumped over would be taken
    for handled. Records before `expected` are replays and welcome. Source topics must be neither compacted nor
    transactional: both leave holes.
    """
    first, last = records[0].offset, records[-1].offset
    has_jumped = expected is not None and first > expected
    if has_jumped or last - first + 1 != len(records):
        raise Broken(
            f"{partition}: records are missing: expected offset {expected}, got {first} to {last} "
            f"({len(records)} records); nothing of this batch was handled"
        )


class Outbox:
    """By target partition, in the order of deciding. Its batches are in the store already."""

    def __init__(self) -> None:
        self.changelog: dict[int, list[Out]] = {}
        self.outputs: dict[tuple[str, int], list[Out]] = {}
        self.handled: dict[Any, int] = {}  # source partition -> the offset that may be committed once this is out
        self._records = 0

    @property
    def is_full(self) -> bool:
        return self._records >= RECORDS_MAX

    def add(self, batch: Batch) -> None:
        self.handled[batch.tp] = batch.records[-1].offset + 1
        if batch.changelog:
            self.changelog.setdefault(batch.tp.partition, []).extend(batch.changelog)
        for target, outs in batch.outputs.items():
            self.outputs.setdefault(target, []).extend(outs)
        self._records += len(batch.changelog) + sum(map(len, batch.outputs.values()))
