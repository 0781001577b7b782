"""Dependencies: what is derived from references, and that no cycle of hard ones is ever missed."""

from collections.abc import Mapping, Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manifests.entity import Adapter
from manifests.graph import adapter_edges, children, hard_loop, loop_text, plan
from tests.support.adapters import adapter as made_of
from tests.support.adapters import entity
from topics.errors import Rejected

NAMES = tuple(f"x.e{number}" for number in range(7))


def adapter(entities: Mapping[str, Mapping[str, object]]) -> Adapter:
    return made_of(*(entity(name, **{"path": "/x", **shape}) for name, shape in entities.items()), name="demo")


def references(**columns: tuple[str, bool]) -> dict[str, object]:
    named = columns.items()
    return {"references": {name: {"entity": to, "from": name, "required": required} for name, (to, required) in named}}


def linked(hard: Sequence[tuple[str, str]], soft: Sequence[tuple[str, str]] = ()) -> Adapter:
    def after(name: str) -> dict[str, list[str]]:
        return {kind: [to for one, to in pairs if one == name] for kind, pairs in (("hard", hard), ("soft", soft))}

    return adapter({name: {"after": after(name)} for name in NAMES})


def has_loop(edges: Sequence[tuple[str, str]]) -> bool:
    """By taking away, again and again, whatever waits for nothing."""
    left = set(NAMES)
    while free := {name for name in left if not any(s == name and t in left and s != t for s, t in edges)}:
        left -= free
    return bool(left)


pairs = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)), max_size=14)


def test_a_required_reference_is_hard_and_an_optional_one_soft() -> None:
    found = plan(adapter({"x.a": references(b=("x.b", True), c=("x.c", False)), "x.b": {}, "x.c": {}}))
    assert (found["x.a"].hard, found["x.a"].soft, found["x.a"].level) == (("x.b",), ("x.c",), 1)


def test_a_parent_is_a_hard_dependency_and_knows_its_children() -> None:
    made = adapter({"x.a": {"path": "/b/{id}/a", "under": {"entity": "x.b", "column": "b_id"}}, "x.b": {}})
    assert plan(made)["x.a"].hard == ("x.b",)
    assert children(made, "x.b") == ("x.a",)


def test_what_no_reference_shows_can_be_said() -> None:
    found = plan(adapter({"x.a": {"after": {"hard": ["x.b"], "soft": ["x.c"]}}, "x.b": {}, "x.c": {}}))
    assert (found["x.a"].hard, found["x.a"].soft) == (("x.b",), ("x.c",))


def test_a_dependency_that_is_hard_and_soft_is_hard() -> None:
    found = plan(adapter({"x.a": references(b=("x.b", True), c=("x.b", False)), "x.b": {}}))
    assert (found["x.a"].hard, found["x.a"].soft) == (("x.b",), ())


def test_nobody_waits_for_itself() -> None:
    found = plan(adapter({"x.a": references(one=("x.a", True), other=("x.a", False))}))
    assert (found["x.a"].hard, found["x.a"].soft, found["x.a"].dangling) == ((), (), ())


def test_an_optional_reference_in_a_cycle_is_not_waited_for() -> None:
    found = plan(adapter({"x.a": references(b=("x.b", True)), "x.b": references(a=("x.a", False))}))
    assert found["x.a"].hard == ("x.b",)
    assert (found["x.b"].soft, found["x.b"].dangling) == ((), ("x.a",))


def test_a_cycle_of_hard_dependencies_is_rejected_and_named() -> None:
    made = adapter(
        {"x.c": references(a=("x.a", True)), "x.a": references(b=("x.b", True)), "x.b": references(c=("x.c", True))}
    )
    with pytest.raises(Rejected, match=r"form a cycle: x\.a -> x\.b -> x\.c -> x\.a$"):
        plan(made)


def test_an_unknown_target_is_rejected() -> None:
    with pytest.raises(Rejected, match=r"x\.a names x\.nobody, which adapter demo does not have"):
        plan(adapter({"x.a": references(b=("x.nobody", False))}))


@given(pairs)
def test_a_cycle_is_found_exactly_where_there_is_one(hard: list[tuple[str, str]]) -> None:
    loop = hard_loop(adapter_edges(linked(hard)))
    assert bool(loop) == has_loop(hard)
    assert {(edge.entity, edge.target) for edge in loop} <= set(hard)
    if loop:
        assert loop_text(loop) == " -> ".join([*(edge.entity for edge in loop), loop[-1].target])


@given(pairs, pairs)
def test_every_order_respects_what_is_waited_for(hard: list[tuple[str, str]], soft: list[tuple[str, str]]) -> None:
    acyclic = [(source, target) for source, target in hard if source < target]
    found = plan(linked(acyclic, soft))
    assert tuple(found) == NAMES
    waited = [(name, target) for name, each in found.items() for target in (*each.hard, *each.soft)]
    assert not has_loop(waited)
    for name, each in found.items():
        assert all(found[target].level < each.level for target in each.hard)
        assert each.level == max((found[target].level + 1 for target in each.hard), default=0)
        assert {*each.hard, *each.soft, *each.dangling} == {t for s, t in [*acyclic, *soft] if s == name != t}


@given(pairs, pairs, st.randoms(use_true_random=False))
def test_the_plan_does_not_depend_on_the_order_of_files(
    hard: list[tuple[str, str]], soft: list[tuple[str, str]], random: Random
) -> None:
    made = linked([(source, target) for source, target in hard if source < target], soft)
    names = list(NAMES)
    random.shuffle(names)
    shuffled = Adapter(file=made.file, entities={name: made.entities[name] for name in names})
    assert list(plan(shuffled).items()) == list(plan(made).items())
