from typing import Any

import pytest

from agents.records.position import positions
from manifests.entity import Order


def by(*fields: tuple[str, str]) -> Order:
    return Order.model_validate({"by": [{"type": type_, "from": path} for type_, path in fields], "evidence": "tests"})


ID = by(("integer", "id"))
CREATED = by(("timestamp", "attributes.created_at"), ("integer", "id"))


def created(at: str, number: int) -> dict[str, Any]:
    return {"id": str(number), "attributes": {"created_at": at}}


@pytest.mark.parametrize(
    ("order", "records"),
    [
        (ID, [{"id": "9"}, {"id": "10"}, {"id": 11}, {"id": "123456789012345678"}]),
        (by(("text", "id")), [{"id": "10"}, {"id": "9"}, {"id": "a"}]),
        (CREATED, [created("2026-01-05T10:00:00Z", 9), created("2026-01-05T11:00:00+00:30", 10)]),
        (CREATED, [created("2026-01-05T10:00:00Z", 9), created("2026-01-05T10:00:00.5Z", 1)]),
    ],
)
def test_positions_ascend_with_the_records(order: Order, records: list[Any]) -> None:
    found = positions(records, order)
    assert found is not None
    assert sorted(set(found)) == found


@pytest.mark.parametrize(
    "records",
    [
        [{"id": "10"}, {"id": "9"}],
        [{"id": "9"}, {"id": "9"}],
        [{"id": "9"}, {}],
        [{"id": "9"}, {"id": None}],
        [{"id": "9"}, {"id": "x"}],
        [{"id": -1}],
        [{"id": True}],
        [7],
    ],
)
def test_records_that_do_not_ascend_or_have_none_have_no_positions(records: list[Any]) -> None:
    assert positions(records, ID) is None


def test_a_position_that_no_database_keeps_or_that_is_too_long_is_none() -> None:
    for text in ("a\0b", "\ud800", "x" * 601):
        assert positions([{"id": text}], by(("text", "id"))) is None
