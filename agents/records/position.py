"""Positions of records in the order that a manifest names: texts that sort as the API lists the records. Pure."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from operator import lt
from typing import Any

from agents.records.values import CONVERT, InvalidValue, check_storable
from manifests.entity import Order, OrderField

POSITION_CHARS_MAX = 600  # a record with a longer one has no position
ORDERS_SPLIT_MAX = 1_000  # whose paths are kept split; the least recently used is split again

_LAST = datetime.max.replace(tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_SEPARATOR = "\x1f"  # sorts before whatever a part begins with


def positions(records: Sequence[Any], order: Order) -> list[str] | None:
    """The position of each record; None if one has none, or does not come behind the one before it."""
    try:
        if len(order.by) == 1:
            found = [_part(record, order.by[0]) for record in records]
        else:
            found = [_SEPARATOR.join(_part(record, field) for field in order.by) for record in records]
    except InvalidValue:
        return None
    return found if all(map(lt, found, found[1:])) else None


def _part(record: Any, field: OrderField) -> str:
    value = record
    for name in _path(field.source):
        value = value.get(name) if type(value) is dict else None
    if value is None:
        raise InvalidValue(f"{field.source}: the record has none")
    if field.type == "integer" and type(value) is str and value.isascii() and value.isdecimal() and len(value) < 19:
        return value.zfill(19)
    return _sortable(CONVERT[field.type](value), field)


def _sortable(converted: Any, field: OrderField) -> str:
    if isinstance(converted, datetime):
        if field.descending:
            return f"{(_LAST - converted) // _MICROSECOND:019}"
        return converted.isoformat(timespec="microseconds")
    if isinstance(converted, int):
        if converted < 0:
            raise InvalidValue("a negative number is no position")
        return f"{converted:019}"
    if len(converted) > POSITION_CHARS_MAX:
        raise InvalidValue("too long for a position")
    check_storable(converted)
    return str(converted)


@lru_cache(maxsize=ORDERS_SPLIT_MAX)
def _path(dotted: str) -> tuple[str, ...]:
    return tuple(dotted.split("."))
