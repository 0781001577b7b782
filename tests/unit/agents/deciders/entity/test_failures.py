from typing import Any

import pytest

from agents.core.retry import LEASE
from agents.deciders.entity.failures import FENCED_MAX, PAUSES_MAX
from agents.deciders.entity.window import LEASE_DEADLINE_MS
from tables.kinds.entity import EntityState
from tests.engine.clock import T0
from tests.support.entity_run import LOG, SECOND, F, close, closed, done, due, failed, fetch, head, sole, started
from tests.support.scenario import Scenario
from topics.ids import derive_id
from topics.kinds.sync import ChildDone

ATTEMPTS = LEASE.attempts_max or 0


def exhausted(made: Scenario[EntityState], lease: int) -> Scenario[EntityState]:
    """The lease is out for its last attempt."""
    for attempt in range(1, ATTEMPTS):
        made.given(failed(lease, "retryable", attempt=attempt)).given(due(made.state.due), at=T0)
    return made


def test_a_retryable_lease_backs_off_and_is_sent_again_by_its_timer_with_a_new_attempt() -> None:
    waiting = started().when(failed(1, "retryable")).then().awaiting().with_event("unit 1 backs off for 5 s: 503")
    waiting.having(error="retryable", error_reason="503", due=T0 + 5 * SECOND)
    waiting.when(due(T0 + 5 * SECOND), at=T0 + 6 * SECOND).then(sole(1, 1, F, attempt=2))
    waiting.having(due=T0 + 6 * SECOND + LEASE_DEADLINE_MS).awaiting(sole(1, 1, F, attempt=2))
    waiting.when(failed(1, "retryable", attempt=2)).having(due=T0 + 10 * SECOND)


def test_a_pause_of_hours_that_the_api_asks_for_is_kept_with_its_reason_up_to_a_day() -> None:
    for asked, seconds in ((42.5, 42.5), (7_200, 7_200), (10**6, 86_400)):
        paused = started().when(failed(1, "retryable", after_seconds=asked)).then().awaiting()
        paused.having(due=T0 + int(seconds * SECOND), error_reason="503")
        paused.with_event(f"unit 1 pauses, as it was asked to, for {seconds:.0f} s: 503")


def test_pauses_that_the_api_asks_for_use_up_no_attempts_until_there_are_too_many() -> None:
    tried = started()
    for attempt in range(1, PAUSES_MAX + 1):
        tried.given(failed(1, "retryable", attempt=attempt, after_seconds=3_600)).given(due(tried.state.due))
    tried.then(sole(1, 1, F, attempt=PAUSES_MAX + 1))
    for attempt in range(PAUSES_MAX + 1, PAUSES_MAX + ATTEMPTS):
        tried.given(failed(1, "retryable", attempt=attempt, after_seconds=3_600)).given(due(tried.state.due))
    tried.when(failed(1, "retryable", attempt=PAUSES_MAX + ATTEMPTS, after_seconds=3_600)).then(close("failed"))


def test_a_lease_that_is_out_is_asked_for_again_in_time_while_another_one_pauses_for_hours() -> None:
    spread = started().given(head(99, 1_000), failed(2, "retryable", after_seconds=7_200))
    spread.having(due=T0 + LEASE_DEADLINE_MS).when(due(T0 + LEASE_DEADLINE_MS), at=T0 + LEASE_DEADLINE_MS)
    spread.then(*spread.pending_commands).with_event("no page was reported in time")


def test_the_rest_of_the_window_continues_while_one_lease_backs_off() -> None:
    spread = started().given(head(99, 1_000))
    spread.given(failed(2, "retryable")).when(done(3, 8)).then(fetch(6, F + 33, 8)).having(error=None)


def test_a_lease_that_failed_half_way_backs_off_with_its_rest_at_its_first_attempt() -> None:
    spread = started().given(head(8, 125))
    spread.when(failed(2, "retryable", units=3)).then().having(units=F + 3)
    spread.when(due(T0 + 5 * SECOND)).then(sole(3, F + 4, 5))


def test_the_rest_of_a_first_lease_that_failed_is_no_longer_than_what_is_claimed_to_be_there() -> None:
    waiting = started().given(failed(1, "retryable", units=3, total_units=5))
    waiting.when(due(T0 + 5 * SECOND)).then(sole(2, 4, 2)).having(next_unit=6)
    waiting.when(done(2, 2, total_units=5)).then(sole(3, 6)).having(last_unit=6)


def test_the_rest_of_a_chains_lease_continues_from_where_it_got() -> None:
    chain = started(LOG).given(done(1, 1, key=LOG, next_cursor="page-2", elapsed_ms=250))
    chain.given(failed(2, "retryable", units=1, key=LOG, next_cursor="page-3"))
    chain.when(due(T0 + 5 * SECOND, LOG)).then(sole(3, 3, 3, key=LOG, cursor="page-3", landmark=derive_id("page-2")))


def test_a_lease_is_given_up_after_its_last_attempt_with_a_reason_that_fits_the_report() -> None:
    tried = exhausted(started(), 1).when(failed(1, "retryable", attempt=ATTEMPTS, reason="x" * 2_000))
    tried.then(close("failed"))
    assert tried.state.reason.startswith("gave up after 20 attempts: xxx")
    (report,) = tried.when(closed("failed")).commands
    assert isinstance(report, ChildDone)
    assert len(report.reason) == 2_000


def test_a_last_attempt_that_got_further_is_not_the_end() -> None:
    tried = exhausted(started().given(head(8, 125)), 2)
    tried.when(failed(2, "retryable", units=1, attempt=ATTEMPTS)).having(status="fetching")


def test_a_rejected_lease_fails_the_entity_with_its_reason_and_what_was_committed_before_counts() -> None:
    spread = started().given(head(8, 125)).when(failed(2, "rejected", units=3, reason="403 forbidden"))
    spread.then(close("failed")).having(status="finishing", reason="403 forbidden", leases=(), units=F + 3, pages=F + 3)


@pytest.mark.parametrize(("newest", "run"), [(None, T0 + 9), (T0 + 3_600_000, T0 + 3_600_001)])
def test_a_fenced_run_continues_under_a_higher_number_than_any_that_the_database_knows(newest: Any, run: int) -> None:
    fenced = started().when(failed(1, "fenced", reason="newer run", newest=newest), at=T0 + 9)
    fenced.then(sole(1, 1, F, run=run)).having(run=run, fenced=1, units=0, started_at=T0)
    fenced.with_event("fenced (newer run); continues as run")


def test_an_entity_that_is_fenced_again_and_again_fails() -> None:
    fenced = started()
    for number in range(FENCED_MAX):
        fenced.given(failed(1, "fenced", run=T0 + number))
    fenced.when(failed(1, "fenced", run=T0 + FENCED_MAX, reason="closed")).then(close("failed", run=T0 + FENCED_MAX))
    fenced.having(reason="fenced 3 times: closed")
