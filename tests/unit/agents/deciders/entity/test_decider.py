from typing import Any

import pytest

from agents.core.decision import Accepted
from agents.core.retry import CLOSE_RUN
from agents.deciders.entity.decider import CLOSE_DEADLINE_MS, EntityDecider
from agents.deciders.entity.window import LEASE_DEADLINE_MS
from tests.engine.clock import T0
from tests.engine.engine import KEY as SYNC
from tests.support.adapters import toy
from tests.support.entity_run import (
    CHILD,
    COUNTS,
    PET,
    SECOND,
    F,
    cancel,
    child_done,
    close,
    closed,
    closing,
    complete,
    done,
    due,
    ended,
    failed,
    fetch,
    head,
    last,
    not_closed,
    scenario,
    sole,
    start,
    started,
)
from topics.command import Counts, RetryNow
from topics.ids import derive_id
from topics.kinds.entity import KEY
from topics.kinds.sync import ChildDone, StaleRun, StartSync

DEADLINE = T0 + LEASE_DEADLINE_MS
CLOSED = Counts(**COUNTS)
RETRY = RetryNow(workflow=PET, request_id="retry-1")
CLOSE_ATTEMPTS = CLOSE_RUN.attempts_max or 0
NOT_CLOSED = "the run could not be closed in the database"


def test_a_start_leases_the_first_units_and_again_changes_nothing() -> None:
    made = scenario().when(start()).then(sole(1, 1, F)).having(status="fetching", run=T0, due=DEADLINE)
    made.with_event("started").when(start()).unchanged()


def test_a_parent_with_a_lower_number_than_one_before_hears_that_it_is_stale() -> None:
    made = scenario().given(start(parent_run=7)).when(start(parent_run=6))
    made.then(StaleRun(workflow=SYNC, parent_run=6, newest=7)).having(parent_run=7)


@pytest.mark.parametrize(("adapter", "name"), [("toy", "a.ghost"), ("nobody", "a.pet")])
def test_an_entity_or_adapter_that_is_not_known_here_fails_and_is_not_remembered(adapter: str, name: str) -> None:
    decision = EntityDecider({"toy": toy()}).decide(None, start(KEY.key("acme", adapter, name, "full")), T0)
    (report,) = decision.commands
    assert isinstance(report, ChildDone)
    assert (decision.state, report.workflow, report.outcome, report.child_run_id) == (None, SYNC, "failed", "")
    assert report.reason == f"{adapter} has no entity '{name}' here; deploy the same manifests to every worker"


@pytest.mark.parametrize("key", ["entity-sync:acme", f"{PET}\n", "entity-sync:a b:toy:a.pet:full", SYNC + ":x:y"])
def test_a_start_of_a_key_that_names_no_entity_is_rejected(key: str) -> None:
    scenario().rejects(start(key), "workflow key")


def test_a_command_of_another_kind_of_workflow_is_rejected() -> None:
    started().rejects(StartSync(org="acme", adapter="toy", type="full"), "takes no StartSync")


def test_an_ended_entity_reports_its_outcome_again() -> None:
    ended().when(start()).then(child_done()).having(status="done")


@pytest.mark.parametrize("made", [started, complete, closing, ended])
@pytest.mark.parametrize(("at", "run"), [(T0 - 1_000_000, T0 + 1), (T0 + 5, T0 + 5)])
def test_a_newer_parent_run_replaces_the_one_before_with_a_higher_number(made: Any, at: int, run: int) -> None:
    fresh = made().when(start(parent_run=2), at=at).then(sole(1, 1, F, run=run))
    fresh.having(run=run, parent_run=2, units=0, status="fetching")


def test_what_a_lease_committed_is_counted_once() -> None:
    result = done(1, 1, pages=1, records=4, rejected=2, total_units=9)
    made = started().when(result).having(units=1, pages=1, records=4, rejected=2)
    made.when(result).unchanged()


@pytest.mark.parametrize(
    "late", [done(1, 1, run=T0 - 1), done(7, 1), done(1, 1, attempt=2), cancel(2), closed(), closed(run=T0 - 1)]
)
def test_what_nobody_waits_for_changes_nothing(late: Any) -> None:
    started().when(late).unchanged()


@pytest.mark.parametrize("late", [done(1, 1), closed(), cancel(), due(T0), RETRY])
def test_a_late_command_to_an_entity_that_does_not_exist_is_not_remembered(late: Any) -> None:
    scenario().when(late).unchanged()


def test_a_deadline_sends_every_lease_again_with_the_same_ids() -> None:
    spread = started().given(head(16, 1_000))
    again = (fetch(2, F + 1, 8), fetch(3, F + 9, 8))
    spread.awaiting(*again).when(due(DEADLINE), at=DEADLINE + 1).then(*again).with_event("asked again")
    spread.having(due=DEADLINE + 1 + LEASE_DEADLINE_MS)


def test_a_lease_that_closed_the_run_ends_it_with_the_databases_counts() -> None:
    made = started().when(done(1, 3, end=True, closed=CLOSED)).then(child_done())
    made.having(status="done", leases=(), counts=CLOSED, last_unit=3, ended_at=T0, due=0)


def test_a_lease_that_may_close_the_run_knows_why_it_is_not_proven() -> None:
    below = started(CHILD).when(done(1, 2, key=CHILD, next_cursor="h2", elapsed_ms=2_000, unproven="no order"))
    below.then(sole(2, 3, 1, key=CHILD, cursor="h2", landmark=derive_id("h2"), unproven="no order"))


def test_a_lease_that_nobody_waits_for_may_report_that_the_run_is_closed() -> None:
    spread = started().given(head(2, 1_000))
    spread.when(done(1, 0, closed=CLOSED)).then(child_done()).having(status="done", leases=(), records=11)


def test_a_run_whose_units_are_all_reported_is_completed_and_closed_by_a_lease_of_its_own() -> None:
    made = started().when(done(1, 3, end=True, unproven="no order")).then(last(2, 3, pages=3, unproven="no order"))
    made.when(done(2, 0, pages=2, records=5)).then(last(3, 3, pages=5, unproven="no order")).having(units=3, records=17)
    made.when(failed(3, "retryable")).awaiting().having(error="retryable", due=T0 + 5 * SECOND)
    made.when(due(T0 + 5 * SECOND), at=T0 + 5 * SECOND).then(last(3, 3, pages=5, unproven="no order", attempt=2))
    made.when(done(3, 0, attempt=2, closed=CLOSED, remark="not proven complete: no order"), at=T0 + 6 * SECOND)
    made.having(status="done", counts=CLOSED, reason="not proven complete: no order")


def test_a_run_that_is_being_closed_is_not_cancelled_and_a_close_without_a_report_is_sent_again() -> None:
    made = closing().having(due=T0 + CLOSE_DEADLINE_MS).awaiting(close())
    made.when(cancel()).unchanged()
    made.when(due(T0 + CLOSE_DEADLINE_MS), at=T0 + CLOSE_DEADLINE_MS).then(close()).with_event("asked again")


@pytest.mark.parametrize("outcome", ["failed", "cancelled"])
def test_a_closed_run_has_the_databases_outcome_and_counts_and_reports_them_to_its_parent(outcome: Any) -> None:
    report = child_done(outcome, "not today")
    made = closing().when(closed(outcome), at=T0 + 7).then(report).awaiting(report)
    made.having(status=outcome, ended_at=T0 + 7, counts=CLOSED, due=0)
    for late in (closed(), not_closed("retryable"), cancel()):
        made.when(late).unchanged()


def test_a_result_of_a_close_that_says_nothing_is_rejected() -> None:
    closing().rejects(closed().model_copy(update={"result": {}}), "neither outcome nor counts")


def test_a_retryable_close_backs_off_and_is_sent_again_with_a_new_attempt() -> None:
    made = closing().when(not_closed("retryable")).then().awaiting().having(due=T0 + 5 * SECOND, close_attempt=2)
    made.with_event("closing the run backs off for 5 s: no such table")
    made.when(not_closed("retryable")).unchanged()
    made.when(due(T0 + 5 * SECOND), at=T0 + 5 * SECOND).then(close(attempt=2)).awaiting(close(attempt=2))
    made.having(due=T0 + 5 * SECOND + CLOSE_DEADLINE_MS)
    made.when(not_closed("retryable", attempt=2, after_seconds=42.5)).having(due=T0 + 42_500)
    made.when(RETRY, at=T0 + 9).then(close(attempt=3)).when(closed()).then(child_done("cancelled", "not today"))


def test_a_close_is_given_up_after_its_last_attempt_and_the_run_fails() -> None:
    made = closing()
    for attempt in range(1, CLOSE_ATTEMPTS):
        made.given(not_closed("retryable", attempt)).given(due(made.state.due), at=T0).having(status="finishing")
    reason = f"not today; {NOT_CLOSED} ({CLOSE_ATTEMPTS} attempts): no such table"
    made.when(not_closed("retryable", CLOSE_ATTEMPTS)).then(child_done("failed", reason, pages=1, records=4))


@pytest.mark.parametrize("error", ["rejected", "cancelled"])
def test_a_rejected_close_fails_the_run_with_the_reason_beside_its_own(error: str) -> None:
    made = closing().when(not_closed(error)).having(status="failed", ended_at=T0, due=0)
    made.then(child_done("failed", f"not today; {NOT_CLOSED} (1 attempts): no such table", pages=1, records=4))


def test_a_cancelled_run_is_closed_whatever_a_lease_reports_and_leases_nothing_more() -> None:
    made = started().when(cancel()).then(close("cancelled")).having(status="finishing", leases=())
    for late in (done(1, 1, total_units=9), done(1, 3, end=True, closed=CLOSED)):
        made.when(late).unchanged()
    made.when(closed("cancelled")).then(child_done("cancelled", "not today"))


def test_a_retry_sends_what_backs_off_at_once() -> None:
    made = started().given(failed(1, "retryable")).when(RETRY, at=T0 + 1)
    made.then(sole(1, 1, F, attempt=2)).having(due=T0 + 1 + LEASE_DEADLINE_MS)
    made.with_event("retried by request retry-1").accepting(Accepted("retry-1", T0))


def test_a_retry_sends_the_close_or_the_report_of_the_end_again() -> None:
    closing().when(RETRY).then(close())
    ended().when(RETRY).then(child_done())


def test_an_ended_run_needs_no_deadline_of_its_own_whatever_an_older_program_left() -> None:
    ended().when(due(T0 + 1), at=T0 + 1).then().having(due=0, status="done")
