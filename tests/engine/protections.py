"""The protections of a worker and of what stands around it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Protections:
    """What keeps the promise. Each is switched off in a build that the checker must catch.

    `one_flush_for_all`: without it, offsets are committed by transactions of Faust's `exactly_once`: one for each
    partition, holding its offsets and the records that go *to* it, so that what a partition sends elsewhere is not
    in its own.
    """

    flush_before_commit: bool = True
    one_flush_for_all: bool = True
    restore_guard: bool = True
    overtaking: bool = True
    epochs_begin_in_journal: bool = True
    group_fence: bool = True
    run_fence: bool = True
    newest_read: bool = True
