"""Fast conversion of a record: its typed values in a few calls instead of one per value. Pure; runs for every record.

Columns that stand in one object of the record are converted together, in C. A value that is not of its column's type
makes the whole conversion give up; agents.records.reader then converts value by value and says what is wrong.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from operator import itemgetter
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import convert
from msgspec.structs import astuple

from agents.records.values import INTEGER_MAX, encode
from manifests.entity import FieldType

_AS: Mapping[FieldType, Any] = {
    "text": str,
    "integer": Annotated[int, msgspec.Meta(ge=-INTEGER_MAX - 1, le=INTEGER_MAX)],
    "number": float,
    "boolean": bool,
    "timestamp": Annotated[datetime, msgspec.Meta(tz=True)],
    "date": date,
    "json": Any,
}


class Place(NamedTuple):
    """A column: the object that has it (an index into the record's opened objects), its name there, its type."""

    holder: int
    field: str
    type: FieldType
    is_required: bool


class TypedColumns:
    """Compiled for one entity. `read` gives the values in the order of `places`, or None: convert value by value."""

    def __init__(self, places: Sequence[Place]) -> None:
        grouped = _grouped(places)
        self._groups = [(places[numbers[0]].holder, _shape([places[n] for n in numbers])) for numbers in grouped]
        order = [n for numbers in grouped for n in numbers]
        positions = [order.index(n) for n in range(len(places))]
        self._in_order = None if positions == sorted(positions) else itemgetter(*positions)
        self._required = [n for n, place in enumerate(places) if place.is_required]
        self._json = [n for n, place in enumerate(places) if place.type == "json"]
        self._times = [n for n, place in enumerate(places) if place.type == "timestamp"]

    def read(self, opened: Sequence[Mapping[str, Any]]) -> tuple[Any, ...] | None:
        values: tuple[Any, ...] = ()
        try:
            for holder, shape in self._groups:
                values += astuple(convert(opened[holder], shape))
        except (msgspec.ValidationError, OverflowError):
            return None
        if self._in_order is not None:
            values = self._in_order(values)
        for n in self._required:
            if values[n] is None:
                return None
        for n in self._times:
            if (time := values[n]) is not None and time.tzinfo is not UTC:
                return None
        return self._with_json(values) if self._json else values

    def _with_json(self, values: tuple[Any, ...]) -> tuple[Any, ...]:
        changed = list(values)
        for n in self._json:
            changed[n] = None if changed[n] is None else encode(changed[n]).decode()
        return tuple(changed)


def _grouped(places: Sequence[Place]) -> list[list[int]]:
    """The places by the object that has them; a field that is asked for twice goes to a second group."""
    groups: dict[tuple[int, int], list[int]] = {}
    seen: Counter[tuple[int, str]] = Counter()
    for n, place in enumerate(places):
        groups.setdefault((place.holder, seen[place.holder, place.field]), []).append(n)
        seen[place.holder, place.field] += 1
    return list(groups.values())


def _shape(places: Sequence[Place]) -> type[msgspec.Struct]:
    """A struct of the places' types; an API may name fields as it likes, so ours are numbered."""
    fields: list[tuple[str, Any, Any]] = [(f"f{n}", _AS[place.type] | None, None) for n, place in enumerate(places)]
    names = {f"f{n}": place.field for n, place in enumerate(places)}
    return msgspec.defstruct("Typed", fields, rename=names, frozen=True)
