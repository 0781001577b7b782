import json
import re
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.ports import PageBody, RejectedRecord, RowWrite
from agents.records import reader as records
from agents.records.reader import KEY_CHARS_MAX, RECORD_BYTES_MAX, read_page
from agents.records.values import KEPT_CHARS_MAX
from manifests.entity import Body, Entity
from tests.support.adapters import adapter
from topics.errors import Retryable

BODY = Body(records="data", total="meta.total_count", next="links.next")
ADAPTER = adapter().file.model_copy(update={"body": BODY})


def entity(**more: Any) -> Entity:
    return Entity.model_validate({"name": "people.email", "path": "/people/v2/emails", **more})


def one_column(kind: str) -> Entity:
    return entity(fields={"value": {"type": kind, "from": "attributes.value"}})


def page_of(*found: Any, of: Entity | None = None, parent: str = "") -> PageBody:
    return read_page(msgspec.json.encode({"data": list(found)}), ADAPTER, of or entity(), parent)


def row_of(record: Any, of: Entity | None = None, parent: str = "") -> RowWrite:
    page = page_of(record, of=of, parent=parent)
    assert page.rejected == ()
    return page.rows[0]


def rejected_of(record: Any, of: Entity | None = None) -> RejectedRecord:
    page = page_of(record, of=of)
    assert page.rows == ()
    return page.rejected[0]


def test_a_page_has_rows_a_total_and_a_next_link() -> None:
    body = {"data": [{"id": "1"}, {"id": "2"}], "meta": {"total_count": 7}, "links": {"next": "https://x/?offset=2"}}
    page = read_page(msgspec.json.encode(body), ADAPTER, entity())
    assert ([row.key for row in page.rows], page.total, page.next) == (["1", "2"], 7, "https://x/?offset=2")
    assert page_of() == PageBody((), (), None, None, 0)


ONE = {"path": "/donations/{id}/refund", "under": {"entity": "x.donation", "column": "donation_id", "one": True}}


def test_a_single_record_stands_in_place_of_a_list_and_null_says_that_there_is_none() -> None:
    page = read_page(b'{"data": {"id": "1"}, "meta": {"parent": {}}}', ADAPTER, entity(**ONE), "7")
    assert ([row.key for row in page.rows], page.total, page.next, page.records) == (["1"], None, None, 1)
    assert read_page(b'{"data": null, "meta": {}}', ADAPTER, entity(**ONE), "7").records == 0


@pytest.mark.parametrize("body", [b'{"data": []}', b"{}", b"[]", b'{"data": 1}'])
def test_what_is_no_single_record_is_retryable(body: bytes) -> None:
    with pytest.raises(Retryable, match="no record at data"):
        read_page(body, ADAPTER, entity(**ONE), "7")


@pytest.mark.parametrize("body", [{}, {"data": None}, {"meta": {"total_count": 0}}])
def test_a_list_that_is_left_out_is_empty_if_the_total_says_so_or_if_the_api_has_no_totals(body: Any) -> None:
    without = ADAPTER.model_copy(update={"body": Body(records="data")})
    is_counted = "meta" in body
    page = read_page(msgspec.json.encode(body), ADAPTER if is_counted else without, entity())
    assert (page.rows, page.records) == ((), 0)
    if not is_counted:
        with pytest.raises(Retryable):
            read_page(msgspec.json.encode(body), ADAPTER, entity())


def test_a_list_that_is_left_out_within_its_object_is_an_empty_list() -> None:
    deep = ADAPTER.model_copy(update={"body": Body(records="result.items")})
    assert read_page(b'{"result":{}}', deep, entity()).records == 0
    with pytest.raises(Retryable):
        read_page(b'{"result":{"message":"busy"}}', deep, entity())


@pytest.mark.parametrize("total", [-1, "7", 1.5, True, None, 2**70])
def test_a_total_that_is_no_count_is_no_total(total: Any) -> None:
    page = read_page(msgspec.json.encode({"data": [], "meta": {"total_count": total}}), ADAPTER, entity())
    assert page.total is None


@pytest.mark.parametrize(
    ("body", "why"),
    [
        *((text, "the answer") for text in (b"", b"<html>502</html>", b"[]", b"null", b"[" * 100_000)),
        *((text, "the answer") for text in (b'{"data":[{"id":"1"}', b'{"errors":[]}', b'{"data":{}}', b'{"data":0}')),
        *(
            (text, "the answer")
            for text in (b'{"data":null,"meta":{"total_count":3}}', b'{"data":null,"error":"busy"}')
        ),
        (b'{"data":[],"links":{"next":5}}', r"links\.next is not a link: 5"),
    ],
)
def test_a_body_that_is_no_page_is_retryable(body: bytes, why: str) -> None:
    with pytest.raises(Retryable, match=why):
        read_page(body, ADAPTER, entity())


@pytest.mark.parametrize(
    ("kind", "given_", "stored"),
    [
        ("text", "Zoë", "Zoë"),
        ("text", 12, "12"),
        ("text", "", ""),
        ("integer", 12, 12),
        ("integer", "-12", -12),
        ("integer", 3.0, 3),
        ("integer", 2**63 - 1, 2**63 - 1),
        ("number", 3, 3.0),
        ("number", -1.5, -1.5),
        ("number", "59.9139", 59.9139),
        ("boolean", False, False),
        ("timestamp", "2026-01-05T09:30:00Z", datetime(2026, 1, 5, 9, 30, tzinfo=UTC)),
        ("timestamp", "2026-01-05T09:30:00.25+02:00", datetime(2026, 1, 5, 7, 30, 0, 250000, tzinfo=UTC)),
        ("timestamp", "2026-01-05", datetime(2026, 1, 5, tzinfo=UTC)),
        ("date", "2026-01-05", date(2026, 1, 5)),
        ("json", {"b": [1, None], "a": "ø"}, '{"a":"ø","b":[1,null]}'),
        ("json", "text", '"text"'),
        ("text", None, None),
        ("json", None, None),
    ],
)
def test_a_value_that_fits_is_stored(kind: str, given_: Any, stored: object) -> None:
    assert row_of({"id": "1", "attributes": {"value": given_}}, one_column(kind)).values == (stored,)


@pytest.mark.parametrize(
    ("kind", "given_", "reason"),
    [
        ("text", True, "value: not text (True)"),
        ("text", {"a": 1}, "value: not text ({'a': 1})"),
        ("integer", "12a", "value: not a whole number ('12a')"),
        ("integer", "١٢", "value: not a whole number ('١٢')"),
        ("integer", True, "value: not a whole number (True)"),
        ("integer", 1.5, "value: not a whole number (1.5)"),
        ("integer", 2**63, "value: beyond 64 bits (9223372036854775808)"),
        ("number", "many", "value: not a number ('many')"),
        ("number", "1e999", "value: out of range ('1e999')"),
        ("number", "nan", "value: not a number ('nan')"),
        ("boolean", "true", "value: neither true nor false ('true')"),
        ("timestamp", "2026-01-05T09:30:00", "value: a timestamp without a time zone ('2026-01-05T09:30:00')"),
        ("timestamp", "yesterday", "value: not a timestamp (RFC 3339) ('yesterday')"),
        ("timestamp", "0001-01-01T00:00:00+14:00", "value: not a timestamp (RFC 3339) ('0001-01-01T00:00:00+14:00')"),
        ("timestamp", 1767605400, "value: not a timestamp (RFC 3339) (1767605400)"),
        ("date", "2026-02-30", "value: not a date (YYYY-MM-DD) ('2026-02-30')"),
        ("date", "2026-W01-1", "value: not a date (YYYY-MM-DD) ('2026-W01-1')"),
        ("date", 20260105, "value: not a date (YYYY-MM-DD) (20260105)"),
    ],
)
def test_a_value_that_does_not_fit_rejects_its_record(kind: str, given_: Any, reason: str) -> None:
    found = rejected_of({"id": "1", "attributes": {"value": given_}}, one_column(kind))
    assert (found.key, found.reason) == ("1", reason)


PERSON = {"person_id": {"entity": "people.person", "from": "relationships.person.data.id"}}
REQUIRED = {"person_id": {**PERSON["person_id"], "required": True}}
WITHOUT_PERSON = {"id": "1", "relationships": {"person": {"data": None}}}


def test_values_stand_in_the_order_of_the_columns_with_the_parent_first() -> None:
    of = entity(
        path="/households/{id}/members",
        under={"entity": "people.household", "column": "household_id"},
        references=PERSON,
        fields={"role": {"type": "text", "from": "attributes.role"}},
    )
    record = {"id": "1", "attributes": {"role": "adult"}, "relationships": {"person": {"data": {"id": 12}}}}
    assert row_of(record, of, parent="900").values == ("900", "12", "adult")


def test_what_is_missing_is_null() -> None:
    assert row_of(WITHOUT_PERSON, entity(references=PERSON)).values == (None,)
    assert row_of({"id": "1", "attributes": {}}, one_column("integer")).values == (None,)
    assert row_of({"id": "1", "attributes": None}, one_column("integer")).values == (None,)


def test_a_key_of_several_parts_cannot_be_mistaken_for_another() -> None:
    of = entity(key=["a", "b.c"])
    parts = [("1", "2"), ("1:2", "3"), ("1", "2:3"), ("1%3A2", "3")]
    keys = [row_of({"a": a, "b": {"c": c}}, of).key for a, c in parts]
    assert keys == ["1:2", "1%3A2:3", "1:2%3A3", "1%253A2:3"]


def test_where_ids_are_unique_only_under_a_parent_its_key_is_the_first_part() -> None:
    of = entity(path="/plans/{id}/items", under={"entity": "people.plan", "column": "plan_id", "key": True})
    parents = ("17", "17:2", "18")
    assert [row_of({"id": "3"}, of, parent).key for parent in parents] == ["17:3", "17%3A2:3", "18:3"]


@pytest.mark.parametrize("of", [entity(), entity(key_type="integer")], ids=["text", "integer"])
def test_1_and_quoted_1_are_not_one_key_the_one_that_the_manifest_does_not_name_is_rejected(of: Entity) -> None:
    page = page_of({"id": 1, "is": "integer"}, {"id": "1", "is": "text"}, of=of)
    assert [(row.key, of.key_type in row.raw) for row in page.rows] == [("1", True)]
    (rejected,) = page.rejected
    assert re.match(r"key: id is not .*, as the manifest's key_type says \('?1'?\)", rejected.reason)


def test_the_sources_own_time_is_kept() -> None:
    of = entity(updated_at="attributes.updated_at", fields={"name": {"type": "text", "from": "attributes.name"}})
    row = row_of({"id": "1", "attributes": {"name": "Ann", "updated_at": "2026-01-05T09:30:00Z"}}, of)
    assert (row.values, row.updated_at) == (("Ann",), datetime(2026, 1, 5, 9, 30, tzinfo=UTC))


def test_raw_is_canonical() -> None:
    assert row_of({"id": "1", "b": {"z": 1, "a": "ø/é"}, "a": 1.0}).raw == '{"a":1.0,"b":{"a":"ø/é","z":1},"id":"1"}'


def test_other_attributes_and_other_links_are_other_content_and_another_order_is_not() -> None:
    contents: list[dict[str, Any]] = [{}, {"links": {"self": "a"}}, {"links": None}, {"a": 1}, {"a": 2}]
    assert len({row_of({"id": "1", **content}).content_hash for content in contents}) == len(contents)
    assert row_of({"id": "1", "a": 1}).content_hash == row_of({"a": 1, "id": "1"}).content_hash


UNDER = entity(path="/plans/{id}/items", under={"entity": "people.plan", "column": "plan_id"})


def test_the_same_content_under_another_parent_is_another_row() -> None:
    assert len({row_of({"id": "1"}, UNDER, parent).content_hash for parent in ("17", "18", "17")}) == 2


def test_a_changed_column_or_converter_makes_every_row_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes: list[dict[str, Any]] = [
        {},
        {"fields": {"a": {"type": "text", "from": "a"}}},
        {"fields": {"a": {"type": "integer", "from": "a"}}},
        {"fields": {"a": {"type": "integer", "from": "b"}}},
        {"updated_at": "b"},
    ]
    hashes = [row_of({"id": "1"}, entity(**shape)).content_hash for shape in shapes]
    monkeypatch.setattr(records, "CONVERTER_VERSION", 2)
    assert len({*hashes, row_of({"id": "1"}).content_hash}) == len(shapes) + 1
    assert row_of({"id": "1"}, entity(title="Addresses")).content_hash == row_of({"id": "1"}).content_hash


LONG = ["x" * 10_000] * 50
NO_OBJECTS: tuple[Any, ...] = (None, 1, "x", [], True)
NO_KEYS: tuple[Any, ...] = ({}, {"id": None}, {"id": ""}, {"id": 1}, {"id": True}, {"id": 1.5}, {"id": ["1"]})


@pytest.mark.parametrize(
    ("record", "of", "key", "reason"),
    [
        ({"id": "1", "attributes": {"value": 10**399}}, one_column("number"), "1", "value: out of range (1000"),
        ({"id": "1", "attributes": {"value": LONG}}, one_column("text"), "1", "value: not text (['xxx"),
        ({"id": "1", "attributes": [1]}, one_column("text"), "1", "attributes: not an object ([1])"),
        ({"id": "1", "updated_at": "soon"}, entity(updated_at="updated_at"), "1", "updated_at: not a timestamp ("),
        (WITHOUT_PERSON, entity(references=REQUIRED), "1", "person_id: required, but the record has none"),
        ({"id": "x" * (KEY_CHARS_MAX + 1)}, entity(), "", "key: 501 characters, at most 500"),
        ({"id": "1", "a": "x" * RECORD_BYTES_MAX}, entity(), "1", "the record has 1000017 bytes, at most 1000000"),
        *((record, entity(), "", "key: ") for record in NO_KEYS),
        *((other, entity(), "", "the record is not an object") for other in NO_OBJECTS),
    ],
)
def test_a_record_that_cannot_be_a_row_is_rejected_and_kept_cut(record: Any, of: Entity, key: str, reason: str) -> None:
    found = rejected_of(record, of)
    assert (found.key, found.reason[: len(reason)]) == (key, reason)
    assert len(found.reason) < 200
    assert len(found.raw) < KEPT_CHARS_MAX + 100


@pytest.mark.parametrize(
    ("text", "key", "reason"),
    [
        (rb'{"id":"1","a":{"b":["x\u0000"]}}', "1", "NUL"),
        (rb'{"id":"1","a":{"x\u0000":1}}', "1", "NUL"),
        (rb'{"id":"1\u0000"}', "", "NUL"),  # nor is it shown as a key
        (rb'{"id":"1","a":"\ud800"}', "1", "not Unicode"),
        (b'{"id":"1","a":"\xff"}', "1", ""),
        (b'{"id":"1","a":1e400}', "1", "out of range ('1e400')"),
        (b'{"id":"1","a":NaN}', "1", "out of range ('NaN')"),
        (b'{"id":"1","a":1' + b"0" * 5000 + b"}", "1", "out of range"),
    ],
)
def test_what_no_database_holds_costs_one_record_only(text: bytes, key: str, reason: str) -> None:
    page = read_page(b'{"data":[{"id":"good"},' + text + b"]}", ADAPTER, entity())
    assert [row.key for row in page.rows] == ["good"]
    (found,) = page.rejected
    assert found.key == key
    assert reason in found.reason
    assert "\0" not in found.raw
    found.raw.encode()


def test_what_only_looks_unstorable_is_kept() -> None:
    assert row_of({"id": "7", "a": r"\u0000"}).key == "7"
    assert row_of({"id": "1", "a": 10**40}).raw == '{"a":1' + "0" * 40 + ',"id":"1"}'


@pytest.mark.parametrize("levels", range(900, 1000, 3))
@pytest.mark.parametrize("value", ["1", r'"\ud800"'])
def test_however_deep_a_record_is_nested_it_is_read_or_its_page_is_retryable(levels: int, value: str) -> None:
    body = '{"data":[{"id":"1","attributes":{"value":' + "[" * levels + value + "]" * levels + "}}]}"
    with suppress(Retryable):
        assert read_page(body.encode(), ADAPTER, one_column("json")).records == 1


def test_the_compiled_entities_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "READERS_MAX", 3)
    assert [row_of({"id": "1"}, entity(title=str(number))).key for number in range(8)] == ["1"] * 8
    assert len(records._readers) <= 3


ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=()))  # lone surrogates and NUL as well
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT | st.datetimes().map(str) | st.dates().map(str),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=12,
)
RECORD = st.fixed_dictionaries(
    {},
    optional={
        "id": ANY_JSON | ANY_TEXT,
        "attributes": ANY_JSON | st.dictionaries(st.sampled_from("abcdefg"), ANY_JSON),
        "relationships": ANY_JSON,
        "links": ANY_JSON,
    },
)
ALL_KINDS = entity(
    updated_at="attributes.g",
    references=PERSON,
    fields={
        name: {"type": kind, "from": f"attributes.{name}"}
        for name, kind in zip(
            "abcdefg", ("text", "integer", "number", "boolean", "timestamp", "date", "json"), strict=True
        )
    },
)


@given(st.lists(RECORD | ANY_JSON, max_size=4), st.sampled_from([json.dumps, lambda v: json.dumps(v, indent=1)]))
def test_every_record_becomes_a_row_or_is_rejected(found: list[Any], write: Callable[[Any], str]) -> None:
    page = read_page(write({"data": found}).encode(), ADAPTER, ALL_KINDS)
    assert page.records == len(found) == len(page.rows) + len(page.rejected)
    for row in page.rows:
        assert row.key
        assert len(row.values) == 8
        assert msgspec.json.encode(json.loads(row.raw), order="deterministic").decode() == row.raw
        assert "\0" not in row.key
    for text in [each.raw + each.reason + each.key for each in page.rejected]:
        text.encode()
        assert "\0" not in text


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_a_page_or_retryable(body: bytes) -> None:
    with suppress(Retryable):
        assert read_page(body, ADAPTER, ALL_KINDS).records >= 0
