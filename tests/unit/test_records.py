import json
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime
from hashlib import blake2b
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.ports import RejectedRecord, RowWrite
from agents.records import reader as records
from agents.records.reader import KEY_CHARS_MAX, RECORD_BYTES_MAX, PageBody, read_page
from agents.records.values import KEPT_CHARS_MAX
from manifests.entity import AdapterFile, Entity
from topics.errors import Retryable

ADAPTER = AdapterFile.model_validate(
    {
        "name": "pco",
        "title": "An API",
        "base_url": "https://api.example.org",
        "body": {"records": "data", "total": "meta.total_count", "next": "links.next"},
        "limit": {"requests": 100, "seconds": 20},
    }
)


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


def rejected_in(text: str, of: Entity | None = None) -> RejectedRecord:
    """The one rejected record of a page with a good one beside it."""
    page = read_page(b'{"data":[{"id":"good"},' + text.encode() + b"]}", ADAPTER, of or entity())
    assert [row.key for row in page.rows] == ["good"]
    return page.rejected[0]


def test_a_page_has_rows_a_total_and_a_next_link() -> None:
    body = {"data": [{"id": "1"}, {"id": "2"}], "meta": {"total_count": 7}, "links": {"next": "https://x/?offset=2"}}
    page = read_page(msgspec.json.encode(body), ADAPTER, entity())
    assert ([row.key for row in page.rows], page.total, page.next) == (["1", "2"], 7, "https://x/?offset=2")


def test_a_page_over_the_end_has_no_rows() -> None:
    assert page_of() == PageBody((), (), None, None, 0)


@pytest.mark.parametrize("total", [-1, "7", 1.5, True, None, 2**70])
def test_a_total_that_is_no_count_is_no_total(total: Any) -> None:
    page = read_page(msgspec.json.encode({"data": [], "meta": {"total_count": total}}), ADAPTER, entity())
    assert page.total is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>502</html>",
        b'{"data":[{"id":"1"}',
        b'{"errors":[]}',
        b'{"data":{}}',
        b"[]",
        b"null",
        b"[" * 100_000,
    ],
)
def test_a_body_that_is_no_page_is_worth_another_try(body: bytes) -> None:
    with pytest.raises(Retryable, match="the answer"):
        read_page(body, ADAPTER, entity())


def test_a_next_that_is_no_link_is_worth_another_try() -> None:
    with pytest.raises(Retryable, match=r"links\.next is not a link: 5"):
        read_page(b'{"data":[],"links":{"next":5}}', ADAPTER, entity())


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
        ("timestamp", None, None),
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
def test_a_value_that_does_not_fit_sets_its_record_aside(kind: str, given_: Any, reason: str) -> None:
    found = rejected_of({"id": "1", "attributes": {"value": given_}}, one_column(kind))
    assert (found.key, found.reason) == ("1", reason)


def test_an_integer_too_large_for_a_float_is_out_of_range() -> None:
    found = rejected_of({"id": "1", "attributes": {"value": 10**399}}, one_column("number"))
    assert found.reason.startswith("value: out of range (1000")


def test_a_reason_shows_little_of_a_long_value() -> None:
    found = rejected_of({"id": "1", "attributes": {"value": ["x" * 10_000] * 10_000}}, one_column("text"))
    assert len(found.reason) < 200


def test_an_object_in_the_way_that_is_none_sets_the_record_aside() -> None:
    assert rejected_of({"id": "1", "attributes": [1]}, one_column("text")).reason == "attributes: not an object ([1])"


@pytest.mark.parametrize("attributes", [{}, None])
def test_what_is_missing_is_null(attributes: Any) -> None:
    assert row_of({"id": "1", "attributes": attributes}, one_column("integer")).values == (None,)


PERSON = {"person_id": {"entity": "people.person", "from": "relationships.person.data.id"}}
REQUIRED = {"person_id": {**PERSON["person_id"], "required": True}}


def test_values_stand_in_the_order_of_the_columns_with_the_parent_first() -> None:
    of = entity(
        path="/households/{id}/members",
        under={"entity": "people.household", "column": "household_id"},
        references=PERSON,
        fields={"role": {"type": "text", "from": "attributes.role"}},
    )
    record = {"id": "1", "attributes": {"role": "adult"}, "relationships": {"person": {"data": {"id": 12}}}}
    assert row_of(record, of, parent="900").values == ("900", "12", "adult")


def test_an_optional_reference_may_be_null() -> None:
    assert row_of({"id": "1", "relationships": {"person": {"data": None}}}, entity(references=PERSON)).values == (None,)


def test_a_required_reference_may_not() -> None:
    found = rejected_of({"id": "1", "relationships": {"person": {"data": None}}}, entity(references=REQUIRED))
    assert (found.key, found.reason) == ("1", "person_id: required, but the record has none")


def test_a_number_for_a_key_is_text() -> None:
    assert row_of({"id": 7}).key == "7"


@pytest.mark.parametrize("record", [{}, {"id": None}, {"id": ""}, {"id": True}, {"id": 1.5}, {"id": ["1"]}])
def test_a_record_without_a_key_is_set_aside(record: Any) -> None:
    found = rejected_of(record)
    assert (found.key, found.reason[:5]) == ("", "key: ")


def test_a_key_of_several_parts_cannot_be_mistaken_for_another() -> None:
    of = entity(key=["a", "b.c"])
    keys = [row_of({"a": a, "b": {"c": c}}, of).key for a, c in (("1", 2), ("1:2", "3"), ("1", "2:3"), ("1%3A2", "3"))]
    assert keys == ["1:2", "1%3A2:3", "1:2%3A3", "1%253A2:3"]


def test_a_key_too_long_for_an_index_sets_its_record_aside() -> None:
    assert rejected_of({"id": "x" * (KEY_CHARS_MAX + 1)}).reason.startswith("key: 501 characters, at most 500")


def test_the_sources_own_time_is_kept() -> None:
    of = entity(updated_at="attributes.updated_at", fields={"name": {"type": "text", "from": "attributes.name"}})
    row = row_of({"id": "1", "attributes": {"name": "Ann", "updated_at": "2026-01-05T09:30:00Z"}}, of)
    assert (row.values, row.updated_at) == (("Ann",), datetime(2026, 1, 5, 9, 30, tzinfo=UTC))


def test_a_source_time_that_is_none_sets_the_record_aside() -> None:
    found = rejected_of({"id": "1", "updated_at": "soon"}, entity(updated_at="updated_at"))
    assert found.reason == "updated_at: not a timestamp (RFC 3339) ('soon')"


def test_raw_is_canonical() -> None:
    assert row_of({"id": "1", "b": {"z": 1, "a": "ø/é"}, "a": 1.0}).raw == '{"a":1.0,"b":{"a":"ø/é","z":1},"id":"1"}'


def test_the_hash_is_over_the_canonical_text_without_links() -> None:
    row = row_of({"id": "1", "links": {"self": "https://x/1"}, "a": {"links": 2}})
    assert row.content_hash == blake2b(b'{"a":{"links":2},"id":"1"}', digest_size=16).digest()
    assert json.loads(row.raw)["links"] == {"self": "https://x/1"}


def test_other_links_are_the_same_content() -> None:
    assert row_of({"id": "1", "links": {"self": "a"}}).content_hash == row_of({"id": "1", "links": None}).content_hash


def test_other_attributes_are_other_content() -> None:
    assert row_of({"id": "1", "a": 1}).content_hash != row_of({"id": "1", "a": 2}).content_hash


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (r'{"id":"1","a":{"b":["x\u0000"]}}', "NUL"),
        (r'{"id":"1","a":{"x\u0000":1}}', "NUL"),
        (r'{"id":"1","a":"\ud800"}', "not Unicode"),
        ('{"id":"1","a":1e400}', "out of range ('1e400')"),
        ('{"id":"1","a":NaN}', "out of range ('NaN')"),
        ('{"id":"1","a":1' + "0" * 5000 + "}", "out of range"),
    ],
)
def test_what_no_database_holds_costs_one_record_only(text: str, reason: str) -> None:
    found = rejected_in(text)
    assert found.key == "1"
    assert reason in found.reason
    assert "\0" not in found.raw
    found.raw.encode()


def test_a_wrong_byte_costs_one_record_only() -> None:
    page = read_page(b'{"data":[{"id":"1"},{"id":"2","a":"\xff"}]}', ADAPTER, entity())
    assert ([row.key for row in page.rows], page.rejected[0].key) == (["1"], "2")


def test_a_key_that_no_database_holds_is_not_shown_as_a_key() -> None:
    assert rejected_in(r'{"id":"1\u0000"}').key == ""


def test_the_escape_of_a_backslash_before_u0000_is_no_nul() -> None:
    assert row_of({"id": "1", "a": r"\u0000"}).key == "1"


def test_a_large_integer_that_no_column_asks_for_stays_as_it_is() -> None:
    assert row_of({"id": "1", "a": 10**40}).raw == '{"a":1' + "0" * 40 + ',"id":"1"}'


def test_a_record_too_large_is_set_aside_and_cut() -> None:
    found = rejected_of({"id": "1", "a": "x" * RECORD_BYTES_MAX})
    assert found.reason == "the record has 1000017 bytes, at most 1000000"
    assert len(found.raw) < KEPT_CHARS_MAX + 100


@pytest.mark.parametrize("levels", range(900, 1000, 3))
@pytest.mark.parametrize("value", ["1", r'"\ud800"'])
def test_however_deep_a_record_is_nested_it_is_read_or_its_page_comes_again(levels: int, value: str) -> None:
    body = '{"data":[{"id":"1","attributes":{"value":' + "[" * levels + value + "]" * levels + "}}]}"
    with suppress(Retryable):
        assert read_page(body.encode(), ADAPTER, one_column("json")).records == 1


@pytest.mark.parametrize("record", [None, 1, "x", [], True])
def test_a_record_that_is_no_object_is_set_aside(record: Any) -> None:
    assert rejected_of(record).reason.startswith("the record is not an object")


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
def test_every_record_ends_as_a_row_or_set_aside(found: list[Any], write: Callable[[Any], str]) -> None:
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
def test_arbitrary_bytes_are_a_page_or_worth_another_try(body: bytes) -> None:
    with suppress(Retryable):
        assert read_page(body, ADAPTER, ALL_KINDS).records >= 0
