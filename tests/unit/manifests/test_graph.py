"""Dependencies: what is derived from references, and that no cycle of hard ones is ever missed."""

from collections.abc import Mapping, Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manifests.entity import Adapter
from manifests.graph import Dependencies, adapter_edges, children, hard_loop, loop_text, plan
from tests.support.adapters import adapter as made_of
from tests.support.adapters import entity

UNDER = {"path": "/b/{id}/a", "under": {"entity": "x.b", "column": "b_id"}}
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


@pytest.mark.parametrize(
    ("shape", "needs"),
    [
        pytest.param(references(b=("x.b", True)), Dependencies(("x.b",), (), (), 1), id="required_is_hard"),
        pytest.param(references(b=("x.b", False)), Dependencies((), ("x.b",), (), 0), id="optional_is_soft"),
        pytest.param(
            references(b=("x.b", True), c=("x.b", False)), Dependencies(("x.b",), (), (), 1), id="what_is_both_is_hard"
        ),
        pytest.param(
            {"after": {"hard": ["x.b"], "soft": ["x.c"]}}, Dependencies(("x.b",), ("x.c",), (), 1), id="after"
        ),
        pytest.param(UNDER, Dependencies(("x.b",), (), (), 1), id="a_parent_is_hard"),
        pytest.param(
            references(b=("x.a", True), c=("x.a", False)), Dependencies((), (), (), 0), id="nobody_waits_for_itself"
        ),
    ],
)
def test_what_an_entity_says_about_others_is_what_it_waits_for(shape: dict[str, object], needs: Dependencies) -> None:
    assert plan(adapter({"x.a": shape, "x.b": {}, "x.c": {}}))["x.a"] == needs


def test_a_parent_knows_its_children() -> None:
    assert children(adapter({"x.a": UNDER, "x.b": {}}), "x.b") == ("x.a",)


def test_an_optional_reference_in_a_cycle_is_not_waited_for() -> None:
    found = plan(adapter({"x.a": references(b=("x.b", True)), "x.b": references(a=("x.a", False))}))
    assert found["x.a"].hard == ("x.b",)
    assert (found["x.b"].soft, found["x.b"].dangling) == ((), ("x.a",))


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
