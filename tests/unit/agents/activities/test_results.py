import pytest

from agents.activities.results import Failure, Fenced, UnitDone, UnitResult, failure_of, report
from topics.command import Counts
from topics.errors import Rejected, Retryable
from topics.kinds.entity import FetchPages

LEASE = FetchPages(
    workflow="w", run=7, org="acme", adapter="toy", entity="a.pet", type="full", lease=3, first=5, units=4,
    cursor="page-5", attempt=2,
)  # fmt: skip
UNIT = UnitDone(Counts(2, 8, 1), next_cursor="next")
LAST = UnitDone(Counts(1), end=True)
BUSY = Failure("retryable", "503", 7.5)


def test_a_whole_lease_is_the_sum_of_its_units() -> None:
    done = report(LEASE, [UNIT] * 4, 120)
    assert (done.workflow, done.run, done.lease, done.attempt) == ("w", 7, 3, 2)
    assert (done.units, done.counts, done.elapsed_ms) == (4, Counts(8, 32, 4), 120)
    assert (done.end, done.error, done.next_cursor) == (False, None, "next")


def test_what_stands_behind_the_end_is_not_reported() -> None:
    done = report(LEASE, [UNIT, LAST, UNIT, BUSY], 0)
    assert (done.units, done.end, done.next_cursor, done.error) == (2, True, None, None)


def test_a_lease_without_a_unit_done_stays_at_its_cursor() -> None:
    done = report(LEASE, [BUSY], 0)
    assert (done.units, done.next_cursor, done.end) == (0, "page-5", False)


def test_of_several_totals_the_highest_is_reported_unless_one_is_known_better() -> None:
    units: list[UnitResult] = [UnitDone(Counts(1, 4), total=total) for total in (7, 9, 8)]
    assert report(LEASE, units, 0).total_units == 9
    assert report(LEASE, units, 0, total=3).total_units == 3


def test_a_long_reason_is_cut() -> None:
    assert len(report(LEASE, [Failure("rejected", "x" * 5_000)], 0).reason) == 2_000


@pytest.mark.parametrize(
    ("error", "kind", "after"),
    [(Fenced(), "fenced", None), (Retryable("busy", 3), "retryable", 3), (Rejected("no"), "rejected", None)],
)
def test_an_error_is_reported_as_what_happens_next(error: Fenced, kind: str, after: float | None) -> None:
    failure = failure_of(error)
    assert (failure.kind, failure.after_seconds) == (kind, after)
