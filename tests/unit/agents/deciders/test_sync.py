from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.core.decision import Accepted
from agents.deciders.sync import PROGRESS_DEADLINE_MS, QUEUE_MAX, SyncDecider
from manifests.entity import Adapter
from tables.kinds.sync import SYNC_TRANSITIONS, SyncState
from tests.engine.clock import T0
from tests.engine.engine import KEY
from tests.support.adapters import adapter, entity, toy
from tests.support.scenario import Scenario
from topics.catalog import WORKFLOW_RETENTION_MS
from topics.command import CancelRun, Counts, RetryNow, RunOutcome, TimerDue
from topics.kinds.entity import KEY as ENTITY
from topics.kinds.entity import PageDone, StartEntity
from topics.kinds.sync import ChildDone, StaleRun, StartSync

OUTCOMES: tuple[RunOutcome, ...] = ("done", "failed", "cancelled")
NAMES = ("x.a", "x.b", "x.c", "x.d", "x.e", "x.f")
RETRY = RetryNow(workflow=KEY, request_id="retry-1")


def scenario(of: Adapter | None = None) -> Scenario[SyncState]:
    return Scenario(SyncDecider({"toy": of or toy()}))


def started() -> Scenario[SyncState]:
    return scenario().given(start())


def ended() -> Scenario[SyncState]:
    return scenario(adapter(entity("a.pet"))).given(start(), child_done("a.pet"))


def start(request: str = "request-1", **more: Any) -> StartSync:
    return StartSync.model_validate({"org": "acme", "adapter": "toy", "type": "full", "request_id": request, **more})


def child_key(name: str) -> str:
    return ENTITY.key("acme", "toy", name, "full")


def run_child(name: str, run: int = T0) -> StartEntity:
    return StartEntity(workflow=child_key(name), parent=KEY, parent_run=run)


def child_done(name: str, outcome: RunOutcome = "done", run: int = T0, **more: Any) -> ChildDone:
    return ChildDone(workflow=KEY, parent_run=run, entity=name, child_run_id=f"{name}@1", outcome=outcome, **more)


def cancel_child(name: str, reason: str = "not today") -> CancelRun:
    return CancelRun(workflow=child_key(name), run=T0, reason=reason)


def cancel(run: int = T0) -> CancelRun:
    return CancelRun(workflow=KEY, run=run, reason="not today")


def due(at: int) -> TimerDue:
    return TimerDue(workflow=KEY, due=at)


def statuses(made: Scenario[SyncState]) -> dict[str, str]:
    return {name: child.status for name, child in made.state.children.items()}


def test_a_start_runs_the_entities_that_need_nobody() -> None:
    made = scenario().when(start()).then(run_child("a.house"), run_child("a.log"))
    made.having(run=T0, request="request-1", status="running", due=T0 + PROGRESS_DEADLINE_MS)
    made.with_event("request request-1 started run").accepting(Accepted("request-1", T0))
    made.awaiting(run_child("a.house"), run_child("a.log"))


def test_a_child_that_is_done_frees_those_that_need_it_and_is_remembered_with_its_counts() -> None:
    made = started().when(child_done("a.house", pages=2, records=8, rejected=1), at=T0 + 5)
    made.then(run_child("a.pet"), run_child("a.room")).having(counts=Counts(2, 8, 1))
    child = made.state.children["a.house"]
    assert (child.status, child.counts, child.ended_at) == ("done", Counts(2, 8, 1), T0 + 5)


@pytest.mark.parametrize(
    "late",
    [
        child_done("a.log", "failed"),
        child_done("a.house", run=T0 - 1),
        child_done("a.ghost"),
        cancel(T0 - 1),
        StaleRun(workflow=KEY, parent_run=T0 - 1, newest=T0 + 500),
    ],
)
def test_a_report_again_or_about_another_run_changes_nothing(late: Any) -> None:
    started().given(child_done("a.log")).when(late).unchanged()


@pytest.mark.parametrize("late", [child_done("a.house"), cancel(), due(T0), RETRY])
def test_a_late_command_to_a_sync_that_does_not_exist_is_not_remembered(late: Any) -> None:
    scenario().when(late).unchanged()


@pytest.mark.parametrize("late", [cancel(), RETRY, child_done("a.pet", run=T0 + 500)])
def test_a_late_command_to_an_ended_run_changes_nothing(late: Any) -> None:
    ended().when(late).unchanged()


def test_a_run_is_done_when_every_child_is() -> None:
    made = started().given(*map(child_done, ("a.house", "a.log", "a.room", "a.pet")))
    made.when(child_done("a.guest"), at=T0 + 9).then().with_event("run done")
    made.having(status="done", reason="", ended_at=T0 + 9, due=0).awaiting()


def test_a_run_with_a_child_that_did_not_complete_has_failed() -> None:
    made = started().given(child_done("a.log"), child_done("a.house", "failed")).when(child_done("a.guest"))
    made.having(status="failed", reason="3 of 5 entities did not complete: a.house, a.pet, a.room")


def test_an_adapter_without_entities_is_done_at_once() -> None:
    scenario(adapter()).when(start()).then().having(status="done")


def test_a_deadline_without_a_report_starts_the_running_children_again_and_progress_moves_it() -> None:
    made = started().when(due(T0 + PROGRESS_DEADLINE_MS), at=T0 + PROGRESS_DEADLINE_MS)
    made.then(run_child("a.house"), run_child("a.log")).with_event("asked again")
    made.having(due=T0 + 2 * PROGRESS_DEADLINE_MS)
    made.when(child_done("a.log"), at=T0 + 60_000).having(due=T0 + 60_000 + PROGRESS_DEADLINE_MS)


def test_a_cancelled_run_cancels_its_running_children_and_ends_at_once() -> None:
    made = started().when(cancel(), at=T0 + 3).then(cancel_child("a.house"), cancel_child("a.log"))
    made.having(status="cancelled", ended_at=T0 + 3)
    assert set(statuses(made).values()) == {"cancelled"}
    for late in (child_done("a.house"), cancel()):
        made.when(late).unchanged()


def test_the_cancels_of_a_run_are_pending_for_children_that_were_started_and_had_not_ended() -> None:
    # Were they not, a crash between the record and its outputs would leave the children running.
    started().given(child_done("a.house"), cancel()).awaiting(*map(cancel_child, ("a.log", "a.pet", "a.room")))
    started().given(child_done("a.log", "cancelled"), cancel()).awaiting(cancel_child("a.house"))


def test_cancels_are_repeated_after_twice_as_long_each_time_and_never_past_the_records_retention() -> None:
    made, sent_at = started().given(cancel()), [0]
    while made.state.due and len(sent_at) < 100:
        sent_at.append(made.state.due - T0)
        made.when(due(made.state.due), at=made.state.due).then(cancel_child("a.house"), cancel_child("a.log"))
    assert sent_at == [0, *(PROGRESS_DEADLINE_MS * 3**n for n in range(len(sent_at) - 1))]
    assert WORKFLOW_RETENTION_MS / 3 <= sent_at[-1] < WORKFLOW_RETENTION_MS


def test_a_cancel_is_repeated_later_than_now_even_if_the_clock_went_back() -> None:
    now = T0 - 3_600_000
    started().given(cancel()).when(due(T0 + PROGRESS_DEADLINE_MS), at=now).having(due=now + PROGRESS_DEADLINE_MS)


@pytest.mark.parametrize("policy", ["ignore", "queue", "restart", "reject"])
def test_a_request_after_the_end_is_a_run_with_a_higher_number_whatever_policy_and_clock_say(policy: str) -> None:
    made = ended().when(start("request-2", on_conflict=policy), at=T0 - 1_000_000).then(run_child("a.pet", T0 + 1))
    made.having(run=T0 + 1, request="request-2", status="running", ended_at=0)


def test_an_ignored_request_is_attached_to_the_run() -> None:
    made = started().when(start("request-2")).then().having(request="request-1", queue=())
    made.with_event("request request-2 attached to run").accepting(Accepted("request-2", T0))


def test_a_queued_request_waits_and_runs_in_a_step_of_its_own() -> None:
    made = scenario(adapter(entity("a.pet"))).given(start()).when(start("request-2", on_conflict="queue"))
    made.accepting(Accepted("request-2")).having(queue=("request-2",))
    made.when(child_done("a.pet"), at=T0 + 8).then().having(status="done", due=T0 + 8)
    made.when(due(T0 + 8), at=T0 + 8).then(run_child("a.pet", T0 + 8)).having(request="request-2", queue=())
    made.accepting(Accepted("request-2", T0 + 8))


def test_queued_requests_run_in_their_order() -> None:
    made = scenario(adapter(entity("a.pet"))).given(start(), *(start(f"q{n}", on_conflict="queue") for n in range(3)))
    ran = []
    for _ in range(3):
        made.given(child_done("a.pet", run=made.state.run)).given(due(made.state.due))
        ran.append(made.state.request)
    assert ran == ["q0", "q1", "q2"]


def test_a_restarting_request_cancels_the_run_and_goes_before_the_queue() -> None:
    made = started().given(start("request-2", on_conflict="queue"))
    made.when(start("request-3", on_conflict="restart"), at=T0 + 4).accepting(Accepted("request-3"))
    reason = "restarted by request request-3"
    made.then(cancel_child("a.house", reason), cancel_child("a.log", reason))
    made.having(status="cancelled", queue=("request-3", "request-2"), due=T0 + 4)
    made.when(due(T0 + 4), at=T0 + 4).having(request="request-3", run=T0 + 4, queue=("request-2",))


@pytest.mark.parametrize("policy", ["queue", "restart"])
def test_the_queue_has_an_end_however_it_grew(policy: str) -> None:
    full = started()
    for number in range(QUEUE_MAX):
        full.given(start(f"q{number}", on_conflict=policy), start(f"s{number}"))
    for one_more in ("queue", "restart"):
        full.rejects(start("one-more", on_conflict=one_more), "16 requests already wait")


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (start("request-2", on_conflict="reject"), f"run {KEY}@{T0} is in progress"),
        (start(adapter="nobody"), "adapter 'nobody' is not known; there are: toy"),
        (start(type="sideways"), "type 'sideways' is not served; there are: full"),
        (PageDone(workflow=KEY, run=1, lease=1, units=0, pages=0, records=0), "a main sync takes no PageDone"),
    ],
)
def test_what_cannot_be_served_is_rejected_with_the_reason(command: Any, why: str) -> None:
    started().rejects(command, why)


def test_a_queued_request_for_an_adapter_that_is_gone_fails_with_the_reason() -> None:
    before = ended().given(start("request-2"), start("request-3", on_conflict="queue")).given(cancel(T0 + 1)).state
    made = Scenario(SyncDecider({}), before).when(due(before.due), at=T0 + 9)
    made.then().having(status="failed", request="request-3", children={}).accepting(Accepted("request-3", T0 + 9))
    made.having(reason="adapter 'toy' is not known here any more: deploy its manifests to every worker")


def test_a_stale_run_begins_again_above_the_number_that_was_met() -> None:
    again = started().when(StaleRun(workflow=KEY, parent_run=T0, newest=T0 + 500), at=T0 + 9)
    again.then(run_child("a.house", T0 + 501), run_child("a.log", T0 + 501))
    again.having(run=T0 + 501, request="request-1")


def test_an_entity_that_reports_to_a_newer_run_is_started_for_this_one() -> None:
    """An expelled process began that run. The entity answers that this one is stale."""
    made = started().when(child_done("a.house", run=T0 + 500))
    made.then(run_child("a.house"), run_child("a.log")).having(run=T0)


def test_a_retry_reaches_every_running_child() -> None:
    retries = [RetryNow(workflow=child_key(name), request_id="retry-1") for name in ("a.house", "a.log")]
    made = started().when(RETRY).then(run_child("a.house"), run_child("a.log"), *retries)
    made.with_event("retried by request retry-1").accepting(Accepted("retry-1", T0))


@st.composite
def graphs(draw: st.DrawFn) -> Adapter:
    """Entities of which each may need, or would like, any of those before it."""
    entities = []
    for position, name in enumerate(NAMES):
        needs = {before: draw(st.sampled_from(["", "hard", "soft"])) for before in NAMES[:position]}
        after = {kind: [before for before, how in needs.items() if how == kind] for kind in ("hard", "soft")}
        entities.append(entity(name, after=after))
    return adapter(*entities)


@settings(deadline=None)
@given(graph=graphs(), data=st.data())
def test_whatever_its_children_do_a_run_ends_and_starts_each_when_it_may(graph: Adapter, data: st.DataObject) -> None:
    made = scenario(graph).given(start())
    running = list(made.commands)
    starts = list(running)
    while running:  # bounded: each child is started once
        name = running.pop(data.draw(st.integers(0, len(running) - 1))).key.split(":")[3]
        report = child_done(name, data.draw(st.sampled_from(OUTCOMES)))
        before = made.state.status
        made.when(report)
        for command in made.commands:
            check_may_start(made.state, command.key.split(":")[3])
        assert made.state.status in (before, *SYNC_TRANSITIONS[before])
        running += made.commands
        starts += made.commands
        made.when(report).unchanged()
    assert len(set(starts)) == len(starts)
    check_end(made.state)


def check_may_start(state: SyncState, name: str) -> None:
    child = state.children[name]
    assert all(state.children[need].status == "done" for need in child.hard)
    assert all(state.children[need].has_ended for need in child.soft)


def check_end(state: SyncState) -> None:
    children = state.children
    assert state.status == ("done" if all(child.status == "done" for child in children.values()) else "failed")
    for child in children.values():
        is_held = any(children[name].status != "done" for name in child.hard)
        assert (child.status == "blocked") == is_held
        assert (child.started_at > 0) != is_held
