"""Facts of the ledger: which part of a collection a page shows, and what a run can prove by its pages."""

from datetime import datetime

import msgspec


class Extent(msgspec.Struct, frozen=True):
    """Which part of a collection a page shows: from the record behind `first` to `last`, at the moment it was read.

    Positions are texts that sort as the records do (agents.records.position), or the records' keys where the API names
    no order; None where the page has none. `start` is the offset that was asked for: at 0 the page begins with the
    collection. None: it was addressed by a link that names no offset. `total` is the source's claim. `asked_at` is when
    it was requested by the source's clock, `newest` the time of the newest change on it (Unix microseconds).
    """

    start: int | None = 0
    first: str | None = None
    last: str | None = None
    total: int | None = None
    asked_at: int | None = None
    newest: int | None = None


BEGINNING = Extent()


class Due(msgspec.Struct, frozen=True):
    """Parents under which a delta reads `entity`: those that have changed since that was done last, and the first
    `most` of those under which nobody has read since `before`."""

    entity: str
    before: datetime
    most: int


class Changes(msgspec.Struct, frozen=True):
    """Which changes a run has read, in the source's times, as ISO 8601 with microseconds in UTC.

    All `since` then (empty: from the beginning on). It began at `asked_at`; `newest` is the newest change that it met.
    The next delta reads from `watermark` on: that is the earlier of the two, `lookback_seconds` before.
    """

    since: str
    asked_at: str
    newest: str
    watermark: str
    lookback_seconds: int


class Comparison(msgspec.Struct, frozen=True):
    """How the rows differed from the source when a reconciliation compared them, record by record.

    `new` and `changed` were stored by it. `invisible` are those of the changed ones whose own time did not move, so
    that no delta could show them. `missing` rows were not seen: of those `deleted` were deleted, `kept` exist though no
    list shows them, and `held` wait for a person. `reason` is why nothing was deleted. `verified`: nothing was stored.
    """

    seen: int
    new: int
    changed: int
    invisible: int
    missing: int = 0
    deleted: int = 0
    kept: int = 0
    held: int = 0
    reason: str = ""
    verified: bool = False


class Proof(msgspec.Struct, frozen=True):
    """What a run that read everything can say of its completeness: deletes rest on it.

    `complete`: every record that existed from its beginning to its end was seen; `reason` says how that is known, or
    why it is not. `boundaries` between pages were verified, `repairs` pages were read again around those that did not
    meet. `total_first` and `total_last` are the source's claims on the first and on the last page. `changes`: of an
    entity that can be read by its changes, if the run is complete and has met one. `comparison`: of a reconciliation.
    """

    complete: bool
    reason: str
    pages: int
    boundaries: int = 0
    repairs: int = 0
    total_first: int | None = None
    total_last: int | None = None
    changes: Changes | None = None
    comparison: Comparison | None = None

    @property
    def remark(self) -> str:
        """What a person should know of the run."""
        held = self.comparison.reason if self.comparison and self.comparison.held else ""
        return held if self.complete else f"not proven complete: {self.reason}"


class LedgerSums(msgspec.Struct, frozen=True):
    """How many pages the ledger has of a run, in how many collections; repairs have negative numbers."""

    pages: int
    repairs: int
    collections: int

    @property
    def boundaries(self) -> int:
        """Between pages of one collection."""
        return self.pages - self.repairs - self.collections
