"""The check that a partition's records come without a gap. A watermark needs it: stock Faust can jump ahead after a
recovery, and whatever it jumped over would be taken for handled."""

from collections.abc import Sequence

from agents.core.batch import Record
from topics.errors import Broken


def check_order(expected: int | None, records: Sequence[Record], where: str) -> None:
    """Broken if records between `expected` (the next offset, None if not known yet) and the last one are missing.

    Records before `expected` are replays and welcome. Source topics must be neither compacted nor transactional:
    both leave holes.
    """
    first, last = records[0].offset, records[-1].offset
    jumped = expected is not None and first > expected
    if jumped or last - first + 1 != len(records):
        raise Broken(
            f"{where}: records are missing: expected offset {expected}, got {first} to {last} "
            f"({len(records)} records); nothing of this batch was handled"
        )
