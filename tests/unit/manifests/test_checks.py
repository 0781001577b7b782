"""What a shape cannot say: names that must fit each other."""

from collections.abc import Mapping

import pytest
from pydantic import ValidationError

from manifests.checks import COLUMNS_MAX, ENTITIES_MAX, Problem, first_problem
from manifests.entity import Adapter, AdapterFile, Parameters
from tests.support.adapters import adapter, entity

PARENT_SHAPE: Mapping[str, object] = {
    "path": "/q/{id}/p",
    "under": {"entity": "x.q", "column": "under_id"},
    "fields": {"p_number": {"type": "integer", "from": "number"}},
}
TEXT = {"type": "text", "from": "x"}
TOO_MANY = {f"f{number}": TEXT for number in range(COLUMNS_MAX + 1)}
TO_PARENT = {"entity": "x.p", "from": "x"}
PARENT = {"under": {"entity": "x.p", "column": "p_id"}}
ONE = {"under": {"entity": "x.p", "column": "p_id", "one": True}}
ORDER = {"by": [{"type": "integer", "from": "id"}], "evidence": "documented"}
JOINED = {"path": "/q/{id}/j", "under": {"entity": "x.q", "column": "q_id", "key": True}, "fields": {"number": TEXT}}
UNDER_JOINED = {"path": "/q/{q_id}/j/{number}/k", "under": {"entity": "x.j", "column": "j_id"}}
BELOW_JOINED = {"under": {"entity": "x.k", "column": "k_id"}}
LONG = f"{'x' * 31}.{'y' * 31}"
DELTAS: Mapping[str, object] = {
    "body": {"records": "data", "next": "links.next"}, "parameters": {"since": "where[{field}][gte]"},
}  # fmt: skip
ONLY_Y = {"y": {"title": "Y"}}


def problem(entities: Mapping[str, Mapping[str, object]], **file: object) -> Problem | None:
    made = adapter(*(entity(one, **{"path": "/x", **shape}) for one, shape in entities.items()), name="demo")
    whole = AdapterFile.model_validate({**made.file.model_dump(exclude_unset=True), **file})
    return first_problem(Adapter(file=whole, entities=made.entities))


def reason(shape: Mapping[str, object], **file: object) -> tuple[tuple[str | int, ...], str]:
    """What is wrong with x.a beside a parent x.p that has the columns p_number and under_id, and x.j, whose key is
    joined, with x.k below it.
    """
    found = problem({"x.a": shape, "x.j": JOINED, "x.k": UNDER_JOINED, "x.p": PARENT_SHAPE, "x.q": {}}, **file)
    assert found is not None
    assert found.entity == "x.a"
    return found.place, found.reason


@pytest.mark.parametrize(
    "path", ["/p/{id}/a", "/{org}/q/{under_id}/p/{id}", "/a/{p_number}"], ids=["key", "grandparent", "field"]
)
def test_a_path_may_name_what_the_parents_row_has(path: str) -> None:
    assert problem({"x.a": {"path": path, **PARENT}, "x.p": PARENT_SHAPE, "x.q": {"path": "/{org}/q"}}) is None


@pytest.mark.parametrize(
    ("shape", "place", "said"),
    [
        ({"path": "/{id}/a"}, ("path",), "names {id}, but without a parent (under) only {org} has a meaning"),
        ({"path": "/p/{nope}/a", **PARENT}, ("path",), "names {nope}; a row of the parent x.p has {id}, {p_number}"),
        ({"path": "/{org}/a", **PARENT}, ("path",), "does not name the parent x.p"),
        ({**UNDER_JOINED, "path": "/j/{id}/a"}, ("path",), "names {id}, a key of several parts"),
        ({"path": "/k/{j_id}/{id}/a", **BELOW_JOINED}, ("path",), "names {j_id}, a key of several parts"),
        (
            {"references": {"j": {"entity": "x.j", "from": "j"}}},
            ("references", "j", "entity"),
            "the key of x.j has several parts, which no value of a record is",
        ),
        ({"path": "/{org/a"}, ("path",), "a brace is not closed"),
        ({"path": "/{}/a"}, ("path",), "a brace is not closed, or holds no name"),
        ({"path": "/{Id}/a"}, ("path",), "a brace is not closed, or holds no name"),
        ({"fields": {"raw": TEXT}}, ("fields", "raw"), "every table has a column raw of its own"),
        ({"under": {"entity": "x.p", "column": "org"}}, ("under", "column"), "has a column org of its own"),
        ({"references": {"page": TO_PARENT}}, ("references", "page"), "every table has a column page of its own"),
        ({**PARENT, "fields": {"p_id": TEXT}}, ("fields", "p_id"), "column p_id is defined 2 times"),
        ({"references": {"y": TO_PARENT}, "fields": {"y": TEXT}}, ("references", "y"), "column y is defined 2 times"),
        ({"fields": TOO_MANY}, (), f"has {COLUMNS_MAX + 1} columns; {COLUMNS_MAX} are possible"),
        (
            {"reads": {"delta": {"by": "where", "field": "x"}}, "fields": {"x": TEXT}},
            ("reads", "delta", "field"),
            "x is neither updated_at nor the source of a timestamp field",
        ),
        ({"under": {"entity": "x.a", "column": "a_id"}}, ("under", "entity"), "cannot be read under itself"),
        (
            {"path": "/p/{id}/a", **ONE, "reads": {"full": {"order": ORDER}}},
            ("reads", "full", "order"),
            "a single record has no order",
        ),
        ({"path": "/p/{id}/a", **ONE, "paging": {"style": "link"}}, ("paging",), "a single record has no pages"),
        ({"after": {"soft": ["x.a"]}}, ("after",), "an entity cannot wait for itself"),
        ({"after": {"soft": ["x.p", "x.no"]}}, ("after", "soft", 1), "there is no entity x.no in adapter demo"),
    ],
)
def test_names_that_do_not_fit_are_reported_with_their_place(
    shape: Mapping[str, object], place: tuple[str | int, ...], said: str
) -> None:
    found, text = reason(shape)
    assert found == place
    assert said in text


@pytest.mark.parametrize("field", ["updated", "created"])
def test_a_delta_may_go_by_updated_at_or_by_a_timestamp(field: str) -> None:
    shape = {
        "updated_at": "updated",
        "fields": {"made_at": {"type": "timestamp", "from": "created"}},
        "reads": {"delta": {"by": "where", "field": field}},
    }
    assert problem({"x.a": shape}, **DELTAS) is None


def test_a_full_read_is_in_no_descending_order() -> None:
    order = {"by": [{"type": "integer", "from": "id", "descending": True}], "evidence": "it says so"}
    place, why = reason({"reads": {"full": {"order": order}}})
    assert place == ("reads", "full", "order", "by", 0)
    assert "a new record must come last" in why


@pytest.mark.parametrize("since", ["where[updated_at]", "{field}{other}", "{field", ""])
def test_the_parameter_that_asks_for_changes_names_the_field_and_nothing_else(since: str) -> None:
    with pytest.raises(ValidationError):
        Parameters(since=since)


@pytest.mark.parametrize(("by", "wanted"), [("where", "parameters.since"), ("order", "body.next")])
def test_a_delta_needs_what_it_asks_the_api_with(by: str, wanted: str) -> None:
    shape = {"updated_at": "updated", "reads": {"delta": {"by": by, "field": "updated"}}}
    place, why = reason(shape, body={"records": "data"})
    assert place == ("reads", "delta", "by")
    assert f"{by} needs {wanted} in adapter.yaml" in why
    assert problem({"x.a": shape}, **DELTAS) is None


def test_a_page_is_no_larger_than_the_api_gives() -> None:
    shape = {"paging": {"style": "offset", "size": 26}}
    assert reason(shape, size_max=25) == (("paging", "size"), "26 records a page; this API gives at most 25")


@pytest.mark.parametrize(
    ("names", "file", "entity", "place", "said"),
    [
        ([LONG], {}, LONG, ("name",), "would have a name of 68 bytes; 63 are possible"),
        (["a.b_c", "a_b.c"], {}, "a_b.c", ("name",), "its table demo_a_b_c is that of a.b_c, too; rename one of them"),
        (["x.a"], {"name": "sqlite"}, "", ("name",), ""),
        ([], {}, "", ("name",), f"has 0 entities; an adapter has 1 to {ENTITIES_MAX}"),
        ([f"x.a{number}" for number in range(ENTITIES_MAX + 1)], {}, "", ("name",), f"has {ENTITIES_MAX + 1} entities"),
        (["x.a"], {"products": ONLY_Y}, "", ("products", "y"), "no entity is of this product"),
        (["x.a", "y.a"], {"products": ONLY_Y}, "", ("products",), "there are entities of x, which is not named here"),
    ],
)
def test_names_that_do_not_fit_the_adapter_are_reported_with_their_place(
    names: list[str], file: Mapping[str, object], entity: str, place: tuple[str, ...], said: str
) -> None:
    found = problem({name: {} for name in names}, **file)
    assert found is not None
    assert (found.entity, found.place) == (entity, place)
    assert said in found.reason
