"""Bodies taken apart: large ones are read as small ones are, and each bound has its sentence."""

import json
from typing import Any

import msgspec
import pytest

from agents.ports import PageBody
from agents.records import document
from agents.records.document import (
    LINK_CHARS_MAX,
    RECORD_TEXT_BYTES_MAX,
    RECORD_VALUES_MAX,
    RECORDS_PER_PAGE_MAX,
    SLICE_BYTES,
    TOLERANT_BYTES_MAX,
    WHOLE_BYTES_MAX,
)
from agents.records.reader import SLICE_RECORDS, read_page, reading
from agents.records.values import NESTING_MAX
from manifests.entity import Body
from tests.support.adapters import adapter, entity
from topics.errors import Rejected, Retryable

PERSON = entity("a.person", fields={"name": {"type": "text", "from": "name"}})
FILE = adapter(PERSON).file.model_copy(update={"body": Body(records="data", next="links.next", total="meta.total")})
DEEP = FILE.model_copy(update={"body": Body(records="of.all.items", next="of.next", total="of.all.total")})


def page_of(body: Any, file: Any = FILE) -> PageBody:
    return read_page(body if isinstance(body, bytes) else json.dumps(body).encode(), file, PERSON)


def people(count: int, **more: Any) -> list[dict[str, Any]]:
    return [{"id": str(number), "name": "Ann", **more} for number in range(count)]


LINK = {"next": "/a?b"}
BODIES = [
    pytest.param(FILE, {"data": people(30), "links": LINK, "meta": {"total": 7}}, id="plain"),
    pytest.param(DEEP, {"of": {"all": {"items": people(30), "total": 7}, "next": "/a?b"}}, id="nested"),
    pytest.param(FILE, {"data": [*people(3), 5, None, "x", [], {"id": "1e"}], "links": None, "meta": []}, id="odd"),
    pytest.param(FILE, {"data": [{"id": "1", "a": r"\u0000"}, {"id": "2", "a": "\0"}, {"id": "3"}]}, id="suspect"),
    pytest.param(FILE, {"data": [{"id": "1", "a": "\ud800"}, {"id": "2", "a": float("nan")}]}, id="tolerated"),
    pytest.param(FILE, b'{"data":[{"id":"1","a":"\xff"},{"id":"2","a":1e999},{"id":"3"}]}', id="wrong_in_one_record"),
    pytest.param(FILE, b'\xef\xbb\xbf {"data":[{"id":"1"}],"data":[{"id":"2"}]} ', id="twice_and_behind_a_mark"),
    *(
        pytest.param(FILE, body, id=f"no_page_{n}")
        for n, body in enumerate(([], {"data": {}}, {"links": LINK}, b"<a>"))
    ),
]


@pytest.mark.parametrize(("file", "body"), BODIES)
def test_a_large_body_is_read_as_a_small_one_is(file: Any, body: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def outcome() -> PageBody | str:
        try:
            return page_of(body, file)
        except Retryable as error:
            return str(error)

    at_once = outcome()
    monkeypatch.setattr(document, "WHOLE_BYTES_MAX", 10)
    assert outcome() == at_once


@pytest.mark.parametrize("padding", [0, WHOLE_BYTES_MAX])
@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"data": people(RECORDS_PER_PAGE_MAX + 1)}, "more than 10,000 records at data"),
        ({"data": [], "links": {"next": "/" + "x" * LINK_CHARS_MAX}}, "8,001 characters, at most 8,000 are followed"),
    ],
)
def test_a_page_over_a_bound_is_rejected_with_what_to_do(body: Any, why: str, padding: int) -> None:
    with pytest.raises(Rejected, match=why):
        page_of({**body, "padding": " " * padding})


@pytest.mark.parametrize("link", ["/a\0", "/a\x07b", "/\ud800"])
def test_a_link_that_no_database_and_no_message_holds_is_none(link: str) -> None:
    with pytest.raises(Retryable, match=r"links\.next is not a link"):
        page_of({"data": [], "links": {"next": link}})


@pytest.mark.parametrize(
    "value", [[1] * (RECORD_VALUES_MAX + 1), " " * RECORD_TEXT_BYTES_MAX], ids=["too_many_values", "too_long"]
)
def test_a_record_over_a_bound_is_rejected_unread_and_its_page_is_kept(value: Any) -> None:
    page = page_of({"data": [{"id": "1", "a": value}, {"id": "2"}]})
    assert [row.key for row in page.rows] == ["2"]
    (found,) = page.rejected
    assert "at most 4,000,000 and 100,000 are read" in found.reason
    assert found.raw.startswith('{"id": "1", "a": ')


def test_a_record_that_is_nested_too_deeply_is_rejected_and_its_page_is_kept() -> None:
    def nested(levels: int) -> Any:
        return nested(levels - 1) if levels > 900 else json.loads("[" * levels + "]" * levels)

    page = page_of({"data": [{"id": "1", "a": nested(NESTING_MAX)}, {"id": "2", "a": nested(NESTING_MAX - 1)}]})
    assert [row.key for row in page.rows] == ["2"]
    assert page.rejected[0].reason == "the record is nested more than 100 levels deep"


def test_many_brackets_are_no_depth() -> None:
    assert page_of({"data": [{"id": "1", "a": [[]] * 1_000}]}).rejected == ()


def test_a_large_body_that_must_be_read_tolerantly_is_retryable() -> None:
    body = b'{"data":[{"id":"1","a":"' + b"x" * TOLERANT_BYTES_MAX + rb'\ud800"}]}'
    with pytest.raises(Retryable, match=r"8,388,6\d\d bytes are too many to find out where"):
        page_of(body)


def test_a_page_is_read_in_steps() -> None:
    def steps(body: Any) -> int:
        return sum(1 for _ in reading(msgspec.json.encode(body), FILE, PERSON))

    assert steps({"data": people(SLICE_RECORDS - 1)}) == 0
    assert steps({"data": people(4 * SLICE_RECORDS)}) == 3
    assert steps({"data": people(8, a="x" * (SLICE_BYTES // 2))}) == 4
