from manifests.graph import Dependencies
from tables.kinds.sync import Child, SyncState, children_of
from tests.engine.clock import T0
from topics.command import Counts
from topics.kinds.sync import ChildDone


def state(**children: Child) -> SyncState:
    return SyncState(org="acme", adapter="toy", type="full", run=7, request="r", started_at=T0, children=children)


def child_done(entity: str) -> ChildDone:
    return ChildDone(workflow="w", parent_run=7, entity=entity, child_run_id="a@1", outcome="failed", reason="why")


def statuses(of: SyncState) -> dict[str, str]:
    return {name: child.status for name, child in of.children.items()}


def test_a_run_is_named_by_its_key_and_number() -> None:
    assert state().run_id == state().trace == "main-sync:acme:toy:full@7"


def test_a_child_is_a_workflow_of_its_own() -> None:
    assert state().child_key("a.pet") == "entity-sync:acme:toy:a.pet:full"


def test_a_plan_becomes_waiting_children() -> None:
    plan = {"b": Dependencies(hard=("a",), soft=("c",), dangling=("d",), level=1)}
    assert children_of(plan) == {"b": Child("waiting", ("a",), ("c",))}


def test_a_child_goes_only_where_a_transition_leads() -> None:
    before = state(a=Child("done"), b=Child("waiting"), c=Child("running"))
    assert statuses(before.with_status(["a", "b", "c"], "running", T0)) == {"a": "done", "b": "running", "c": "running"}


def test_a_child_that_starts_or_ends_has_the_time_of_it() -> None:
    begun = state(a=Child()).with_status(["a"], "running", T0)
    ended = begun.with_status(["a"], "cancelled", T0 + 1, "why").children["a"]
    assert (ended.started_at, ended.ended_at, ended.reason) == (T0, T0 + 1, "why")


def test_the_counts_of_a_run_are_those_of_its_children() -> None:
    assert state(a=Child(pages=1, records=4), b=Child(pages=2, records=5, rejected=1)).counts == Counts(3, 9, 1)


def test_an_outcome_of_an_unknown_or_ended_child_changes_nothing() -> None:
    before = state(a=Child("done"))
    assert before.with_outcome(child_done("a"), T0) is before
    assert before.with_outcome(child_done("z"), T0) is before


def test_blocking_reaches_as_far_as_hard_dependencies_do() -> None:
    before = state(a=Child("failed"), b=Child(hard=("a",)), c=Child(hard=("b",)), d=Child(soft=("b",)))
    after = before.with_blocked(T0)
    assert statuses(after) == {"a": "failed", "b": "blocked", "c": "blocked", "d": "waiting"}
    assert after.children["c"].reason == "b blocked"


def test_a_child_is_ready_when_hard_dependencies_are_done_and_soft_ones_have_ended() -> None:
    ready = state(
        a=Child("done"),
        b=Child("failed"),
        c=Child("running"),
        d=Child(hard=("a",), soft=("b",)),
        e=Child(hard=("a",), soft=("c",)),
        f=Child(hard=("a", "c")),
    ).ready()
    assert ready == ("d",)
