"""Results of a lease's units, and how far the lease got: the units done without a gap from its first one on."""

from collections.abc import Sequence

import msgspec

from agents.activities.layout import Layout
from agents.ports import LeaseState, LedgerLine
from topics.command import NO_COUNTS, Counts
from topics.errors import Rejected, Retryable
from topics.kinds.entity import FetchError, FetchPages, PageDone


class Failure(msgspec.Struct, frozen=True):
    """Why a unit was not done; `after_seconds` is what the other side asked for."""

    kind: FetchError
    reason: str
    after_seconds: float | None = None


class UnitDone(msgspec.Struct, frozen=True):
    """A unit whose pages are all committed. `end`: nothing follows it. `total` is in units, as the source claims."""

    counts: Counts
    end: bool = False
    next_cursor: str | None = None
    total: int | None = None

    @property
    def shown(self) -> int:
        """Records that the source showed, of a page without an overlap."""
        return self.counts.records + self.counts.rejected


UnitResult = UnitDone | Failure


class Fenced(Exception):
    """The database knows that this run is closed: nothing is written under it any more.

    `state`: what it said, if it was asked for a lease.
    """

    def __init__(self, state: LeaseState | None = None) -> None:
        super().__init__("fenced")
        self.state = state


REPORTABLE = (Retryable, Rejected, Fenced)  # what is reported to a decider; anything else ends the process


def from_ledger(line: LedgerLine, layout: Layout) -> UnitDone:
    """A page that was committed before."""
    total = None if line.extent.total is None else layout.pages(line.extent.total)
    return UnitDone(line.counts, line.is_last, line.next_cursor, total)


def failure_of(error: Retryable | Rejected | Fenced) -> Failure:
    match error:
        case Fenced():
            return Failure("fenced", "the database holds a newer run, or has closed this one")
        case Retryable():
            return Failure("retryable", str(error), error.after_seconds)
    return Failure("rejected", str(error))


def report(command: FetchPages, results: Sequence[UnitResult], elapsed_ms: int, total: int | None = None) -> PageDone:
    """The result of a lease. `results` are in order; what stands behind a failure is in the ledger, not reported."""
    done: list[UnitDone] = []
    failure: Failure | None = None
    for result in results:
        if isinstance(result, Failure):
            failure = result
            break
        done.append(result)
        if result.end:
            break
    claims = [unit.total for unit in done if unit.total is not None]
    counts = sum((unit.counts for unit in done), NO_COUNTS)
    return PageDone(
        workflow=command.workflow,
        run=command.run,
        lease=command.lease,
        attempt=command.attempt,
        first=command.first,
        units=len(done),
        pages=counts.pages,
        records=counts.records,
        rejected=counts.rejected,
        end=failure is None and bool(done) and done[-1].end,
        next_cursor=done[-1].next_cursor if done else command.cursor,
        total_units=total if total is not None else max(claims, default=None),
        elapsed_ms=elapsed_ms,
        error=failure.kind if failure else None,
        reason=failure.reason if failure else "",
        after_seconds=failure.after_seconds if failure else None,
    )
