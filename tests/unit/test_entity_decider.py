from typing import Any

import pytest

from agents.deciders.entity import (
    FENCED_MAX,
    FINISH_DEADLINE_MS,
    LEASE_ATTEMPTS_MAX,
    LEASE_DEADLINE_MS,
    LEASE_FIRST_UNITS,
    RETENTION_MS,
    EntityDecider,
)
from tables.kinds.entity import EntityState
from tests.support.adapters import toy
from tests.support.scenario import T0, Scenario
from topics.commands import (
    ActionComplete,
    CancelRun,
    ChildDone,
    FetchPages,
    FinishRun,
    PageDone,
    RetryNow,
    RunOutcome,
    StaleRun,
    StartEntity,
    StartSync,
    TimerDue,
    Totals,
)
from topics.ids import entity_key, run_id, sync_key

SYNC = sync_key("acme", "toy", "full")
PET = entity_key("acme", "toy", "a.pet", "full")  # pages by number: fan-out
LOG = entity_key("acme", "toy", "a.log", "full")  # pages by link: a chain
ROOM = entity_key("acme", "toy", "a.room", "full")  # read under parents: a chain, too
SECOND = 1_000
F = LEASE_FIRST_UNITS  # the first lease is units 1 to F
DEADLINE = T0 + LEASE_DEADLINE_MS
SUMS = Totals(pages=3, records=11, rejected=1)


def scenario() -> Scenario[EntityState]:
    return Scenario(EntityDecider({"toy": toy()}))


def started(key: str = PET) -> Scenario[EntityState]:
    return scenario().given(start(key))


def start(key: str = PET, parent_run: int = 1) -> StartEntity:
    return StartEntity(workflow=key, parent=SYNC, parent_run=parent_run)


def fetch(lease: int, first: int, units: int = 1, key: str = PET, run: int = T0, **more: Any) -> FetchPages:
    entity = key.split(":")[3]
    return FetchPages(
        workflow=key, run=run, org="acme", adapter="toy", entity=entity, type="full",
        lease=lease, first=first, units=units, **more,
    )  # fmt: skip


def sole(lease: int, first: int, units: int = 1, **more: Any) -> FetchPages:
    """A lease beside which no other is out: it may close the run."""
    return fetch(lease, first, units, closes=True, **more)


def done(lease: int, units: int, key: str = PET, run: int = T0, **more: Any) -> PageDone:
    told = {"pages": units, "records": 4 * units, "elapsed_ms": 1_000 * units, **more}
    return PageDone(workflow=key, run=run, lease=lease, units=units, **told)


def head(behind: int, unit_ms: int) -> PageDone:
    """The first lease is done; `behind` more units follow, and each took so many ms."""
    return done(1, F, total_units=F + behind, elapsed_ms=unit_ms * F)


def failed(lease: int, error: str, units: int = 0, reason: str = "503", **more: Any) -> PageDone:
    return done(lease, units, error=error, reason=reason, **more)


def finish(outcome: RunOutcome = "done", key: str = PET, run: int = T0) -> FinishRun:
    return FinishRun(workflow=key, run=run, org="acme", adapter="toy", outcome=outcome)


def complete(outcome: RunOutcome = "done", key: str = PET, run: int = T0) -> ActionComplete:
    return ActionComplete(workflow=key, run=run, action="finish-run", outcome=outcome, pages=3, records=11, rejected=1)


def child_done(outcome: RunOutcome = "done", reason: str = "", run: int = T0, parent_run: int = 1) -> ChildDone:
    return ChildDone(
        workflow=SYNC, parent_run=parent_run, entity="a.pet", child_run_id=run_id(PET, run), outcome=outcome,
        reason=reason, pages=3, records=11, rejected=1,
    )  # fmt: skip


def cancel(run: int = 1) -> CancelRun:
    return CancelRun(workflow=PET, run=run, reason="not today")


def due(at: int) -> TimerDue:
    return TimerDue(workflow=PET, due=at)


def test_a_start_leases_the_first_units() -> None:
    scenario().when(start()).then(sole(1, 1, F)).having(status="fetching", run=T0, due=DEADLINE).noted("started")


def test_a_start_told_twice_changes_nothing() -> None:
    started().when(start()).unchanged()


def test_a_parent_with_a_lower_number_than_one_before_is_told_so() -> None:
    told = scenario().given(start(parent_run=7)).when(start(parent_run=6))
    told.then(StaleRun(workflow=SYNC, parent_run=6, newest=7)).having(parent_run=7)


def test_an_entity_that_is_not_known_here_fails_and_is_not_remembered() -> None:
    key = entity_key("acme", "toy", "a.ghost", "full")
    asked = scenario().when(start(key))
    (told,) = asked.commands
    assert isinstance(told, ChildDone)
    assert (told.workflow, told.outcome, told.child_run_id) == (SYNC, "failed", "")
    assert told.reason == "toy has no entity 'a.ghost' here; deploy the same manifests to every worker"


def test_an_adapter_that_is_not_known_here_fails_the_entity() -> None:
    asked = scenario().when(start(entity_key("acme", "nobody", "a.pet", "full")))
    assert [type(command) for command in asked.commands] == [ChildDone]


@pytest.mark.parametrize("key", ["entity-sync:acme", f"{PET}\n", "entity-sync:a b:toy:a.pet:full", SYNC + ":x:y"])
def test_a_start_of_a_key_that_names_no_entity_is_refused(key: str) -> None:
    scenario().refuses(start(key), "workflow key")


def test_a_command_of_another_kind_of_workflow_is_refused() -> None:
    started().refuses(StartSync(org="acme", adapter="toy", type="full"), "takes no StartSync")


def test_an_ended_entity_tells_its_outcome_again() -> None:
    started().given(done(1, 1, end=True), complete()).when(start()).then(child_done()).having(status="done")


def test_a_newer_parent_run_starts_a_run_with_a_higher_number() -> None:
    fresh = started().given(done(1, 1, end=True), complete()).when(start(parent_run=2))
    fresh.then(sole(1, 1, F, run=T0 + 1)).having(run=T0 + 1, parent_run=2, units=0)


def test_a_clock_that_went_back_still_gives_a_higher_run_number() -> None:
    started().when(start(parent_run=2), at=T0 - 1_000_000).having(run=T0 + 1)


def test_a_newer_parent_run_replaces_one_that_is_fetching() -> None:
    started().when(start(parent_run=2), at=T0 + 5).then(sole(1, 1, F, run=T0 + 5)).having(parent_run=2)


def test_a_known_total_fans_out_in_a_window_of_leases() -> None:
    spread = started().when(head(99, 250))
    spread.then(fetch(2, F + 1, 4), fetch(3, F + 5, 4), fetch(4, F + 9, 4), fetch(5, F + 13, 4))
    spread.having(total_units=F + 99, last_unit=F + 99)


def test_a_lease_grows_at_most_eightfold() -> None:
    started().when(head(1_000, 0)).having(size=8 * F)


def test_a_slow_source_gets_small_leases() -> None:
    started().given(head(89, 125)).when(done(2, 8, elapsed_ms=16_000)).having(size=1)


def test_a_lease_has_a_largest_size() -> None:
    grown = started()
    for lease in range(1, 6):
        units = grown.state.leases[0].units
        grown.given(done(lease, units, total_units=10**6, elapsed_ms=0))
    grown.having(size=500)


def test_a_lease_of_parents_has_a_smaller_largest_size() -> None:
    grown = started(ROOM)
    for lease in range(1, 5):
        grown.given(done(lease, grown.state.leases[0].units, key=ROOM, elapsed_ms=0, next_cursor=f"h{lease}"))
    grown.having(size=100)


def test_the_last_lease_ends_where_the_total_does() -> None:
    started().when(head(10, 125)).then(fetch(2, F + 1, 8), fetch(3, F + 9, 2))


def test_a_partial_lease_is_followed_by_one_for_its_rest() -> None:
    spread = started().given(head(8, 125))
    spread.when(done(2, 3)).then(sole(3, F + 4, 5)).having(units=F + 3)


def test_a_total_that_is_too_small_is_read_past() -> None:
    started().when(head(0, 1_000)).then(sole(2, F + 1)).having(last_unit=F + 1)


@pytest.mark.parametrize("claim", [None, 0, 2])
def test_of_a_first_lease_that_got_half_way_no_unit_is_passed_over(claim: int | None) -> None:
    # What nobody claims to be there is not leased yet, so it must still be leased when it shows.
    slow = started().when(done(1, 2, total_units=claim)).then(sole(2, 3))
    slow.when(done(2, 1, total_units=claim)).then(sole(3, 4))


def test_of_a_first_lease_that_got_half_way_only_what_there_is_goes_on() -> None:
    started().when(done(1, 2, total_units=6)).then(sole(2, 3, 4)).having(next_unit=7)


def test_a_total_that_is_too_large_ends_where_the_source_does() -> None:
    spread = started().given(head(99, 500))
    for lease in (2, 3, 4):
        spread.when(done(lease, 1, end=True)).then()
    spread.when(done(5, 1, end=True)).then(finish()).having(status="finishing", units=F + 4)


def test_an_end_found_early_leases_nothing_more() -> None:
    spread = started().given(head(8, 500))
    spread.when(done(2, 1, end=True)).then().having(last_unit=F + 1, units=F + 1)


def test_a_chain_goes_on_from_the_cursor_one_lease_at_a_time() -> None:
    chain = started(LOG).when(done(1, 1, key=LOG, next_cursor="page-2", elapsed_ms=250, total_units=50))
    chain.then(sole(2, 2, 4, key=LOG, cursor="page-2")).having(total_units=50, last_unit=None)


def test_a_partial_lease_of_a_chain_is_followed_from_where_it_got() -> None:
    chain = started(LOG).given(done(1, 1, key=LOG, next_cursor="page-2", elapsed_ms=250))
    chain.when(done(2, 2, key=LOG, next_cursor="page-4")).then(sole(3, 4, 1, key=LOG, cursor="page-4"))


def test_a_chain_ends_where_its_last_page_says_so() -> None:
    started(LOG).when(done(1, 1, key=LOG, end=True)).then(finish(key=LOG)).having(last_unit=1)


def test_an_entity_without_parents_is_done_with_no_unit() -> None:
    started(ROOM).when(done(1, 0, key=ROOM, end=True)).then(finish(key=ROOM)).having(units=0, outcome="done")


def test_what_a_lease_committed_is_counted() -> None:
    told = started().when(done(1, 1, pages=1, records=4, rejected=2, total_units=9))
    told.having(units=1, pages=1, records=4, rejected=2)


def test_a_lease_told_twice_is_counted_once() -> None:
    started().given(done(1, 1, total_units=9)).when(done(1, 1, total_units=9)).unchanged()


@pytest.mark.parametrize("late", [done(1, 1, run=T0 - 1), done(7, 1), done(1, 1, attempt=2)])
def test_a_result_that_nobody_waits_for_changes_nothing(late: PageDone) -> None:
    started().when(late).unchanged()


@pytest.mark.parametrize("late", [done(1, 1), complete(), cancel(), due(T0)])
def test_a_late_word_to_a_forgotten_entity_is_not_remembered(late: Any) -> None:
    scenario().when(late).unchanged()


def test_a_retryable_lease_waits_and_nothing_is_sent() -> None:
    told = started().when(failed(1, "retryable"))
    told.then().having(error="retryable", error_reason="503", due=T0 + 5 * SECOND).owing().noted("unit 1 waits 5 s")


def test_a_waiting_lease_is_sent_again_by_its_timer_with_a_new_attempt() -> None:
    waiting = started().given(failed(1, "retryable"))
    waiting.when(due(T0 + 5 * SECOND), at=T0 + 6 * SECOND).then(sole(1, 1, F, attempt=2))
    waiting.having(due=T0 + 6 * SECOND + LEASE_DEADLINE_MS).owing(sole(1, 1, F, attempt=2))


def test_each_further_attempt_waits_twice_as_long() -> None:
    waiting = started().given(failed(1, "retryable")).given(due(T0 + 5 * SECOND), at=T0)
    waiting.when(failed(1, "retryable", attempt=2)).having(due=T0 + 10 * SECOND)


def test_what_the_api_asks_for_is_waited() -> None:
    started().when(failed(1, "retryable", after_seconds=42.5)).having(due=T0 + 42_500)


def test_no_wait_is_longer_than_five_minutes() -> None:
    started().when(failed(1, "retryable", after_seconds=86_400)).having(due=T0 + 300 * SECOND)


def test_the_rest_of_the_window_goes_on_while_one_lease_waits() -> None:
    spread = started().given(head(99, 1_000))
    spread.given(failed(2, "retryable")).when(done(3, 1)).then(fetch(6, F + 5)).having(error=None)


def test_a_lease_that_failed_half_way_waits_with_its_rest_at_its_first_attempt() -> None:
    spread = started().given(head(8, 125))
    spread.when(failed(2, "retryable", units=3)).then().having(units=F + 3)
    spread.when(due(T0 + 5 * SECOND)).then(sole(3, F + 4, 5))


def test_the_rest_of_a_first_lease_that_failed_is_no_longer_than_what_is_claimed_to_be_there() -> None:
    waiting = started().given(failed(1, "retryable", units=3, total_units=5))
    waiting.when(due(T0 + 5 * SECOND)).then(sole(2, 4, 2)).having(next_unit=6)
    waiting.when(done(2, 2, total_units=5)).then(sole(3, 6)).having(last_unit=6)


def test_the_rest_of_a_chains_lease_goes_on_from_where_it_got() -> None:
    chain = started(LOG).given(done(1, 1, key=LOG, next_cursor="page-2", elapsed_ms=250))
    chain.given(failed(2, "retryable", units=1, key=LOG, next_cursor="page-3"))
    chain.when(TimerDue(workflow=LOG, due=T0 + 5 * SECOND)).then(sole(3, 3, 3, key=LOG, cursor="page-3"))


def test_a_lease_is_given_up_after_its_last_attempt() -> None:
    tried = started()
    for attempt in range(1, LEASE_ATTEMPTS_MAX):
        tried.given(failed(1, "retryable", attempt=attempt)).given(due(tried.state.due), at=T0)
    tried.when(failed(1, "retryable", attempt=LEASE_ATTEMPTS_MAX)).then(finish("failed"))
    tried.having(reason="gave up after 20 attempts: 503")


def test_the_longest_reason_can_be_told_to_the_parent() -> None:
    tried = started()
    for attempt in range(1, LEASE_ATTEMPTS_MAX):
        tried.given(failed(1, "retryable", attempt=attempt)).given(due(tried.state.due), at=T0)
    tried.given(failed(1, "retryable", attempt=LEASE_ATTEMPTS_MAX, reason="x" * 2_000))
    (told,) = tried.when(complete("failed")).commands
    assert isinstance(told, ChildDone)
    assert len(told.reason) == 2_000


def test_a_last_attempt_that_moved_is_not_the_end() -> None:
    tried = started().given(head(8, 125))
    for attempt in range(1, LEASE_ATTEMPTS_MAX):
        tried.given(failed(2, "retryable", attempt=attempt)).given(due(tried.state.due), at=T0)
    tried.when(failed(2, "retryable", units=1, attempt=LEASE_ATTEMPTS_MAX)).having(status="fetching")


def test_a_rejected_lease_fails_the_entity_with_its_reason() -> None:
    told = started().when(failed(1, "rejected", reason="403 forbidden"))
    told.then(finish("failed")).having(status="finishing", reason="403 forbidden", leases=())


def test_what_was_committed_before_a_rejection_counts() -> None:
    spread = started().given(head(8, 125))
    spread.when(failed(2, "rejected", units=3)).having(units=F + 3, pages=F + 3)


def test_a_fenced_run_goes_on_under_a_newer_number() -> None:
    told = started().when(failed(1, "fenced", reason="newer run"), at=T0 + 9)
    told.then(sole(1, 1, F, run=T0 + 9)).having(run=T0 + 9, fenced=1, units=0, started_at=T0).noted("newer run")


def test_a_fenced_run_takes_a_higher_number_than_any_that_the_database_knows() -> None:
    told = started().when(failed(1, "fenced").model_copy(update={"newest": T0 + 3_600_000}), at=T0 + 9)
    told.then(sole(1, 1, F, run=T0 + 3_600_001)).having(run=T0 + 3_600_001, fenced=1)


def test_an_entity_that_is_fenced_again_and_again_fails() -> None:
    told = started()
    for number in range(FENCED_MAX):
        told.given(failed(1, "fenced", run=T0 + number))
    told.when(failed(1, "fenced", run=T0 + FENCED_MAX, reason="closed")).then(finish("failed", run=T0 + FENCED_MAX))
    told.having(reason="fenced 3 times: closed")


def test_a_deadline_asks_for_every_lease_again_with_the_same_ids() -> None:
    spread = started().given(head(2, 1_000))
    again = (fetch(2, F + 1), fetch(3, F + 2))
    spread.owing(*again).when(due(DEADLINE), at=DEADLINE + 1).then(*again).noted("asked again")
    spread.having(due=DEADLINE + 1 + LEASE_DEADLINE_MS)


def test_an_old_timer_changes_nothing() -> None:
    started().when(due(DEADLINE - 1)).unchanged()


def test_a_lease_that_closed_the_run_ends_it_with_the_databases_sums() -> None:
    told = started().when(done(1, 3, end=True, closed=SUMS)).then(child_done())
    told.having(status="done", leases=(), pages=3, records=11, rejected=1, last_unit=3, ended_at=T0)


def test_a_run_that_is_closed_is_told_so_by_a_lease_that_nobody_waits_for() -> None:
    spread = started().given(head(2, 1_000))
    spread.when(done(1, 0, closed=SUMS)).then(child_done()).having(status="done", leases=(), records=11)


def test_a_run_that_is_being_cancelled_is_not_ended_by_a_lease_that_closed_it() -> None:
    started().given(cancel()).when(done(1, 3, end=True, closed=SUMS)).unchanged()


def test_a_finishing_that_is_not_told_in_time_is_asked_for_again() -> None:
    ending = started().given(done(1, 1, end=True)).having(due=T0 + FINISH_DEADLINE_MS)
    ending.owing(finish()).when(due(T0 + FINISH_DEADLINE_MS), at=T0 + FINISH_DEADLINE_MS).then(finish())


def test_a_closed_run_has_the_databases_sums_and_tells_its_parent() -> None:
    ending = started().given(done(1, 1, end=True))
    ending.when(complete(), at=T0 + 7).then(child_done()).owing(child_done())
    ending.having(status="done", ended_at=T0 + 7, pages=3, records=11, rejected=1, due=T0 + 7 + RETENTION_MS)


def test_what_the_database_says_of_the_end_is_what_the_parent_is_told() -> None:
    ending = started().given(done(1, 1, end=True))
    (told,) = ending.when(complete("cancelled")).commands
    assert isinstance(told, ChildDone)
    assert told.outcome == ending.state.status == "cancelled"


@pytest.mark.parametrize("late", [complete(), complete(run=T0 - 1)])
def test_an_end_that_nobody_waits_for_changes_nothing(late: ActionComplete) -> None:
    started().when(late).unchanged()


def test_an_end_told_twice_changes_nothing() -> None:
    started().given(done(1, 1, end=True), complete()).when(complete()).unchanged()


def test_a_cancelled_run_is_closed_and_leases_nothing_more() -> None:
    ending = started().when(cancel()).then(finish("cancelled")).having(status="finishing", leases=())
    ending.when(done(1, 1, total_units=9)).unchanged()
    ending.when(complete("cancelled")).then(child_done("cancelled", "not today"))


def test_a_finishing_run_is_not_cancelled() -> None:
    started().given(done(1, 1, end=True)).when(cancel()).unchanged()


def test_an_ended_run_is_not_cancelled() -> None:
    started().given(done(1, 1, end=True), complete()).when(cancel()).unchanged()


def test_the_cancellation_of_another_parent_run_changes_nothing() -> None:
    started().when(cancel(run=2)).unchanged()


def test_an_ended_run_is_forgotten_after_its_retention() -> None:
    ended = started().given(done(1, 1, end=True), complete())
    ended.when(due(T0 + RETENTION_MS), at=T0 + RETENTION_MS).forgotten()
    ended.when(due(T0 + RETENTION_MS), at=T0 + RETENTION_MS - 1).unchanged()


def test_a_nudge_sends_what_rests_at_once() -> None:
    waiting = started().given(failed(1, "retryable"))
    nudged = waiting.when(RetryNow(workflow=PET, request_id="n"), at=T0 + 1)
    nudged.then(sole(1, 1, F, attempt=2)).having(due=T0 + 1 + LEASE_DEADLINE_MS).noted("nudged (n)")


def test_a_nudge_asks_for_the_end_again() -> None:
    started().given(done(1, 1, end=True)).when(RetryNow(workflow=PET, request_id="n")).then(finish())
