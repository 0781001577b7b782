from tables.kinds.sync import Child, SyncState
from tests.engine.clock import T0


def state(**children: Child) -> SyncState:
    return SyncState(org="acme", adapter="toy", type="full", run=7, request="r", started_at=T0, children=children)


def statuses(of: SyncState) -> dict[str, str]:
    return {name: child.status for name, child in of.children.items()}


def test_a_child_goes_only_where_a_transition_leads() -> None:
    before = state(a=Child("done"), b=Child("waiting"), c=Child("running"))
    assert statuses(before.with_status(["a", "b", "c"], "running", T0)) == {"a": "done", "b": "running", "c": "running"}


def test_a_child_that_starts_or_ends_has_the_time_of_it() -> None:
    begun = state(a=Child()).with_status(["a"], "running", T0)
    ended = begun.with_status(["a"], "cancelled", T0 + 1, "why").children["a"]
    assert (ended.started_at, ended.ended_at, ended.reason) == (T0, T0 + 1, "why")


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
