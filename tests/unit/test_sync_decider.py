from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.deciders.sync import PROGRESS_DEADLINE_MS, QUEUE_MAX, RETENTION_MS, SyncDecider
from manifests.entity import Adapter
from tables.kinds.sync import SYNC_TRANSITIONS, SyncState
from tests.support.adapters import adapter, entity, toy
from tests.support.scenario import T0, Scenario
from topics.commands import (
    CancelRun,
    ChildDone,
    PageDone,
    RetryNow,
    RunOutcome,
    StaleRun,
    StartEntity,
    StartSync,
    TimerDue,
)
from topics.ids import entity_key, sync_key

KEY = sync_key("acme", "toy", "full")
OUTCOMES: tuple[RunOutcome, ...] = ("done", "failed", "cancelled")
NAMES = ("x.a", "x.b", "x.c", "x.d", "x.e", "x.f")


def scenario(of: Adapter | None = None) -> Scenario[SyncState]:
    return Scenario(SyncDecider({"toy": of or toy()}))


def started() -> Scenario[SyncState]:
    return scenario().given(start())


def ended() -> Scenario[SyncState]:
    return scenario(adapter(entity("a.pet"))).given(start(), told("a.pet"))


def start(request: str = "request-1", **more: Any) -> StartSync:
    return StartSync.model_validate({"org": "acme", "adapter": "toy", "type": "full", "request_id": request, **more})


def asked(name: str, run: int = T0) -> StartEntity:
    return StartEntity(workflow=entity_key("acme", "toy", name, "full"), parent=KEY, parent_run=run)


def told(name: str, outcome: RunOutcome = "done", run: int = T0, **more: Any) -> ChildDone:
    return ChildDone(workflow=KEY, parent_run=run, entity=name, child_run_id=f"{name}@1", outcome=outcome, **more)


def cancelled(name: str, reason: str, run: int = T0) -> CancelRun:
    return CancelRun(workflow=entity_key("acme", "toy", name, "full"), run=run, reason=reason)


def cancel(run: int = T0) -> CancelRun:
    return CancelRun(workflow=KEY, run=run, reason="not today")


def due(at: int) -> TimerDue:
    return TimerDue(workflow=KEY, due=at)


def statuses(made: Scenario[SyncState]) -> dict[str, str]:
    return {name: child.status for name, child in made.state.children.items()}


def test_a_start_asks_the_entities_that_need_nobody() -> None:
    made = scenario().when(start()).then(asked("a.house"), asked("a.log"))
    made.having(run=T0, request="request-1", status="running", due=T0 + PROGRESS_DEADLINE_MS).noted("started run")


def test_a_child_that_is_done_frees_those_that_need_it() -> None:
    started().when(told("a.house", pages=2, records=8, rejected=1)).then(asked("a.pet"), asked("a.room"))


def test_a_childs_end_is_remembered_with_its_totals() -> None:
    child = started().when(told("a.house", pages=2, records=8, rejected=1), at=T0 + 5).state.children["a.house"]
    assert (child.status, child.pages, child.records, child.rejected, child.ended_at) == ("done", 2, 8, 1, T0 + 5)


def test_an_end_told_twice_changes_nothing() -> None:
    started().given(told("a.house")).when(told("a.house", "failed")).unchanged()


@pytest.mark.parametrize("late", [told("a.house", run=T0 - 1), told("a.ghost"), cancel(T0 - 1), due(T0)])
def test_a_word_about_another_run_changes_nothing(late: Any) -> None:
    started().when(late).unchanged()


@pytest.mark.parametrize("late", [told("a.house"), cancel(), due(T0)])
def test_a_late_word_to_a_forgotten_sync_is_not_remembered(late: Any) -> None:
    scenario().when(late).unchanged()


def test_a_failed_child_blocks_its_hard_dependents_with_the_cause() -> None:
    made = started().when(told("a.house", "failed", reason="403")).then(asked("a.guest")).noted("403")
    assert statuses(made) == {
        "a.guest": "running", "a.house": "failed", "a.log": "running", "a.pet": "blocked", "a.room": "blocked",
    }  # fmt: skip
    assert made.state.children["a.pet"].reason == "a.house failed"


def test_a_soft_dependency_that_failed_frees_its_dependents() -> None:
    started().given(told("a.house")).when(told("a.pet", "failed")).then(asked("a.guest"))


def test_a_run_is_done_when_every_child_is() -> None:
    made = started().given(told("a.house"), told("a.log"), told("a.room"), told("a.pet"))
    made.when(told("a.guest"), at=T0 + 9).then().noted("run done")
    made.having(status="done", reason="", ended_at=T0 + 9, due=T0 + 9 + RETENTION_MS).owing()


def test_a_run_with_a_child_that_did_not_complete_has_failed() -> None:
    made = started().given(told("a.log"), told("a.house", "failed")).when(told("a.guest"))
    made.having(status="failed", reason="3 of 5 entities did not complete: a.house, a.pet, a.room")


def test_an_adapter_without_entities_is_done_at_once() -> None:
    scenario(adapter()).when(start()).then().having(status="done")


def test_a_deadline_asks_the_running_children_again() -> None:
    made = started().when(due(T0 + PROGRESS_DEADLINE_MS), at=T0 + PROGRESS_DEADLINE_MS)
    made.then(asked("a.house"), asked("a.log")).noted("asked again").having(due=T0 + 2 * PROGRESS_DEADLINE_MS)


def test_a_running_sync_owes_its_running_children() -> None:
    started().owing(asked("a.house"), asked("a.log"))


def test_progress_moves_the_deadline() -> None:
    started().when(told("a.log"), at=T0 + 60_000).having(due=T0 + 60_000 + PROGRESS_DEADLINE_MS)


def test_a_cancelled_run_cancels_its_running_children() -> None:
    both = (cancelled("a.house", "not today"), cancelled("a.log", "not today"))
    made = started().when(cancel(), at=T0 + 3).then(*both).having(status="cancelled", ended_at=T0 + 3)
    assert set(statuses(made).values()) == {"cancelled"}


def test_a_cancelled_run_owes_the_cancellation_of_its_children() -> None:
    # Were it not owed, a crash between the record and its outputs would leave the children running.
    made = started().given(told("a.house")).given(cancel())
    made.owing(*(cancelled(name, "not today") for name in ("a.log", "a.pet", "a.room")))


def test_a_child_that_was_cancelled_by_itself_is_not_cancelled_again() -> None:
    started().given(told("a.log", "cancelled")).given(cancel()).owing(cancelled("a.house", "not today"))


def test_a_cancelled_run_hears_nothing_more() -> None:
    started().given(cancel()).when(told("a.house")).unchanged()


def test_a_run_is_cancelled_once() -> None:
    started().given(cancel()).when(cancel()).unchanged()


def test_an_ended_run_is_not_cancelled() -> None:
    ended().when(cancel()).unchanged()


def test_an_ended_run_is_forgotten_after_its_retention() -> None:
    ended().when(due(T0 + RETENTION_MS), at=T0 + RETENTION_MS).forgotten()


def test_an_ended_run_whose_time_is_told_too_early_is_kept() -> None:
    ended().when(due(T0 + RETENTION_MS), at=T0 + RETENTION_MS - 1).unchanged()


def test_a_cancel_is_told_again_later_than_now_even_if_the_clock_went_back() -> None:
    sent_at_ms = T0 - 3_600_000
    again = started().given(cancel(), at=T0).when(due(T0 + PROGRESS_DEADLINE_MS), at=sent_at_ms)
    again.having(due=sent_at_ms + PROGRESS_DEADLINE_MS)


def test_a_request_after_the_end_is_a_run_with_a_higher_number() -> None:
    ended().when(start("request-2")).then(asked("a.pet", T0 + 1)).having(run=T0 + 1, status="running", ended_at=0)


def test_a_clock_that_went_back_still_gives_a_higher_run_number() -> None:
    ended().when(start("request-2"), at=T0 - 1_000_000).having(run=T0 + 1)


def test_an_ignored_request_is_noted_and_attached_to_the_run() -> None:
    started().when(start("request-2")).then().noted("attached to run").having(request="request-1", queue=())


def test_a_queued_request_waits_and_runs_in_a_step_of_its_own() -> None:
    made = scenario(adapter(entity("a.pet"))).given(start(), start("request-2", on_conflict="queue"))
    made.having(queue=("request-2",)).when(told("a.pet"), at=T0 + 8).then().having(status="done", due=T0 + 8)
    made.when(due(T0 + 8), at=T0 + 8).then(asked("a.pet", T0 + 8)).having(request="request-2", queue=())


def test_queued_requests_run_in_their_order() -> None:
    made = scenario(adapter(entity("a.pet"))).given(start(), *(start(f"q{n}", on_conflict="queue") for n in range(3)))
    ran = []
    for _ in range(3):
        made.given(told("a.pet", run=made.state.run)).given(due(made.state.due))
        ran.append(made.state.request)
    assert ran == ["q0", "q1", "q2"]


def test_a_restarting_request_cancels_the_run_and_goes_before_the_queue() -> None:
    made = started().given(start("request-2", on_conflict="queue"))
    made.when(start("request-3", on_conflict="restart"), at=T0 + 4)
    reason = "restarted by request request-3"
    made.then(cancelled("a.house", reason), cancelled("a.log", reason))
    made.having(status="cancelled", queue=("request-3", "request-2"), due=T0 + 4)
    made.when(due(T0 + 4), at=T0 + 4).having(request="request-3", run=T0 + 4, queue=("request-2",))


@pytest.mark.parametrize("policy", ["queue", "restart"])
def test_the_queue_has_an_end(policy: str) -> None:
    full = started().given(*(start(f"q{n}", on_conflict="queue") for n in range(QUEUE_MAX)))
    full.refuses(start("one-more", on_conflict=policy), "16 requests already wait")


def test_restarts_in_quick_succession_do_not_grow_the_queue_beyond_its_end() -> None:
    made = started()
    for number in range(QUEUE_MAX):
        made.given(start(f"r{number}", on_conflict="restart"), start(f"s{number}"))
    made.refuses(start("one-more", on_conflict="restart"), "16 requests already wait")


def test_a_rejecting_request_is_refused_while_a_run_is_in_progress() -> None:
    started().refuses(start("request-2", on_conflict="reject"), "is in progress")


def test_a_rejecting_request_runs_when_nothing_else_does() -> None:
    ended().when(start("request-2", on_conflict="reject")).having(request="request-2", status="running")


def test_an_unknown_adapter_is_refused_with_those_there_are() -> None:
    scenario().refuses(start(adapter="nobody"), "adapter 'nobody' is not known; there are: toy")


def test_an_unknown_type_is_refused_with_those_there_are() -> None:
    scenario().refuses(start(type="sideways"), "type 'sideways' is not served; there are: full")


def test_a_command_of_another_kind_of_workflow_is_refused() -> None:
    command = PageDone(workflow=KEY, run=1, lease=1, units=0, pages=0, records=0)
    started().refuses(command, "takes no PageDone")


@st.composite
def graphs(draw: st.DrawFn) -> Adapter:
    """Entities of which each may need, or would like, any of those before it."""
    entities = []
    for position, name in enumerate(NAMES):
        needs = {before: draw(st.sampled_from(["", "hard", "soft"])) for before in NAMES[:position]}
        after = {kind: [before for before, how in needs.items() if how == kind] for kind in ("hard", "soft")}
        entities.append(entity(name, after=after))
    return adapter(*entities)


@settings(deadline=None, max_examples=150)
@given(graph=graphs(), data=st.data())
def test_whatever_its_children_do_a_run_ends_and_starts_each_when_it_may(graph: Adapter, data: st.DataObject) -> None:
    made = scenario(graph).given(start())
    running = list(made.commands)
    starts = list(running)
    while running:  # bounded: each child is started once
        name = running.pop(data.draw(st.integers(0, len(running) - 1))).key.split(":")[3]
        word = told(name, data.draw(st.sampled_from(OUTCOMES)))
        before = made.state.status
        made.when(word)
        for command in made.commands:
            check_may_start(made.state, command.key.split(":")[3])
        assert made.state.status in (before, *SYNC_TRANSITIONS[before])
        running += made.commands
        starts += made.commands
        made.when(word).unchanged()
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


def test_a_run_that_is_outnumbered_begins_again_above_the_number_that_was_met() -> None:
    again = started().when(StaleRun(workflow=KEY, parent_run=T0, newest=T0 + 500), at=T0 + 9)
    again.then(asked("a.house", T0 + 501), asked("a.log", T0 + 501)).having(run=T0 + 501, request="request-1")


def test_to_be_outnumbered_in_another_run_changes_nothing() -> None:
    started().when(StaleRun(workflow=KEY, parent_run=T0 - 1, newest=T0 + 500)).unchanged()


def test_an_entity_that_tells_of_a_newer_run_is_asked_for_this_one() -> None:
    """A frozen process began that run. The entity answers that this one is outnumbered."""
    started().when(told("a.house", run=T0 + 500)).then(asked("a.house"), asked("a.log")).having(run=T0)


def test_an_ended_run_asks_nobody_who_tells_of_a_newer_one() -> None:
    ended().when(told("a.house", run=T0 + 500)).unchanged()


def test_a_nudge_reaches_every_running_child() -> None:
    nudged = started().when(RetryNow(workflow=KEY, request_id="n"))
    keys = [entity_key("acme", "toy", name, "full") for name in ("a.house", "a.log")]
    nudged.then(asked("a.house"), asked("a.log"), *(RetryNow(workflow=key, request_id="n") for key in keys))


def test_a_nudge_of_a_run_that_has_ended_changes_nothing() -> None:
    ended().when(RetryNow(workflow=KEY, request_id="n")).unchanged()
