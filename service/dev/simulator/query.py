"""Query parameters of a request, and the records that they select. Unknown ones are ignored, as in the real API."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any
from urllib.parse import parse_qsl, quote

from service.dev.simulator.draw import written
from service.dev.simulator.folding import fold
from service.dev.simulator.record import Record, number_of, pointers
from service.dev.simulator.schema import SEARCHES, Entity
from service.dev.simulator.search import search_test
from service.dev.simulator.selection import Key, Selection, Test
from service.dev.simulator.store import Organisation

PER_PAGE = 25
PER_PAGE_MAX = 100
PARAMETERS_MAX = 100
ORGANISATION_ZONE = timezone(timedelta(hours=-6))  # where a bare date begins
ARCHIVE_STATUS = "archive_status"
INCLUDE_DELETED = "include_deleted"
PERSON = "people.person"

_WHERE = re.compile(r"^where\[(\w+)\](?:\[(gt|gte|lt|lte)\])?$")
_FIELDS = re.compile(r"^fields\[(\w+)\]$")

Condition = tuple[str, str, str]  # key, operator ("" is equal), value


@dataclass(frozen=True, slots=True)
class Query:
    """Parameters as they were sent, sorted by name, and their meaning. `include` may be dotted: `households.people`."""

    pairs: tuple[tuple[str, str], ...]
    offset: int
    per_page: int
    order: tuple[str, ...]
    where: tuple[Condition, ...]
    filters: tuple[str, ...]
    include: tuple[str, ...]
    fields: dict[str, frozenset[str]]

    @classmethod
    def parse(cls, query: str) -> "Query":
        """Raises ValueError if there are too many parameters."""
        pairs = sorted(parse_qsl(query, keep_blank_values=True, max_num_fields=PARAMETERS_MAX))
        given = dict(pairs)
        wheres = ((_WHERE.match(name), value) for name, value in pairs)
        fields = ((_FIELDS.match(name), value) for name, value in pairs)
        return cls(
            pairs=tuple(pairs),
            offset=_number(given.get("offset"), 0),
            per_page=min(_number(given.get("per_page"), PER_PAGE), PER_PAGE_MAX),
            order=_list(given.get("order")),
            where=tuple((match[1], match[2] or "", value) for match, value in wheres if match),
            filters=_list(given.get("filter")),
            include=_list(given.get("include")),
            fields={match[1]: frozenset(_list(value)) for match, value in fields if match},
        )

    def included(self, entity: Entity) -> tuple[str, ...]:
        """The edges of an entity that are included, in the order of the request."""
        if not self.include:
            return ()
        return tuple(name for name in dict.fromkeys(_first(path) for path in self.include) if name in entity.include)

    def included_below(self, edge: str, target: Entity) -> tuple[str, ...]:
        """The edges of the records that this edge leads to that are included as well: one dotted level."""
        behind = (path.removeprefix(f"{edge}.") for path in self.include if path.startswith(f"{edge}."))
        return tuple(name for name in dict.fromkeys(behind) if name in target.include)

    def text(self, **changes: int | str) -> str:
        """The query as the API writes it in links: sorted by name, brackets as they are."""
        pairs = dict(self.pairs) | {name: str(value) for name, value in changes.items()}
        return "&".join(f"{quote(name, safe='[]')}={quote(value, safe='')}" for name, value in sorted(pairs.items()))


def abilities(entity: Entity) -> dict[str, tuple[str, ...]]:
    """The capabilities of a listing, for its meta."""
    hidden = (INCLUDE_DELETED,) if entity.hidden_by == "deleted_at" else ()
    return {
        "can_order_by": entity.order,
        "can_query_by": entity.where,
        "can_include": entity.include,
        "can_filter": (*entity.filters, *hidden),
    }


def _first(path: str) -> str:
    return path.partition(".")[0]


def _number(text: str | None, default: int) -> int:
    return int(text) if text is not None and text.isdecimal() and len(text) < 12 else default


def _list(text: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",")) if text else ()


def select(org: Organisation, entity: Entity, query: Query, scope: str, records: Iterable[Record]) -> Selection:
    """The records of a listing that the request selects, in its order. `scope` is empty for all of an entity.

    Only selections without a scope are remembered, those below one record are short; and no searches, which look at
    other records.
    """
    key = (entity.name, (query.where, query.order, query.filters))
    is_kept = not scope and not any(name in SEARCHES for name, _, _ in query.where)
    known = org.selection(key) if is_kept else None
    if known is not None:
        return known
    selection = Selection(records, _tests(org, entity, query), _key(org, entity, query.order))
    if is_kept:
        org.remember(key, selection)
    return selection


def _tests(org: Organisation, entity: Entity, query: Query) -> list[Test]:
    tests = [test for condition in query.where if (test := _test(org, entity, condition)) is not None]
    for name in query.filters:
        if name in entity.filters:
            tests.append(_filter_test(*entity.filters[name]))
    hidden = _hidden(entity, query)
    return [*tests, hidden] if hidden else tests


def _filter_test(attribute: str, value: object) -> Test:
    return lambda record: bool(getattr(record.attributes, attribute) == value)


def _hidden(entity: Entity, query: Query) -> Test | None:
    """Deleted definitions and archived groups are listed on request only."""
    attribute = entity.hidden_by
    if not attribute or (INCLUDE_DELETED in query.filters and INCLUDE_DELETED in abilities(entity)["can_filter"]):
        return None
    status = next((value for key, _, value in query.where if key == ARCHIVE_STATUS), "")
    if ARCHIVE_STATUS in entity.where and status in ("include", "only"):
        return None if status == "include" else lambda record: getattr(record.attributes, attribute) is not None
    return lambda record: getattr(record.attributes, attribute) is None


def _test(org: Organisation, entity: Entity, condition: Condition) -> Test | None:
    """None where the API would ignore the condition."""
    key, operator, value = condition
    if key not in entity.where or key == ARCHIVE_STATUS:
        return None
    if key in SEARCHES:
        return None if operator else search_test(org, key, value)
    if key not in entity.attributes:
        return None if operator else _identity_test(key, value)
    kind = entity.attributes[key]
    if kind in ("time", "date"):
        return _time_test(key, operator, _span(value, is_date=kind == "date"))
    return None if operator else _value_test(key, kind, value)


def _identity_test(key: str, value: str) -> Test:
    if key == "id":
        return lambda record: record.id == value
    relation = key.removesuffix("_id")
    return lambda record: any(pointer.id == value for pointer in pointers(record, relation))


def _value_test(key: str, kind: str, value: str) -> Test:
    if kind == "text":
        return _text_test(key, fold(value, with_accents=True))
    wanted = _typed(kind, value)
    return lambda record: wanted is not None and getattr(record.attributes, key) == wanted


def _text_test(key: str, wanted: str) -> Test:
    """Equality without case; a `%` at either end matches any text."""
    start, end = wanted.startswith("%"), wanted.endswith("%")
    bare = wanted.strip("%")

    def is_met(record: Record) -> bool:
        value = getattr(record.attributes, key)
        if value is None:
            return False
        text = fold(str(value), with_accents=True)
        if start and end:
            return bare in text
        if start or end:
            return text.endswith(bare) if start else text.startswith(bare)
        return text == bare

    return is_met


def _typed(kind: str, value: str) -> Any:
    """The value in the attribute's type; None if it has another one, and then no record matches."""
    try:
        if kind == "integer":
            return int(value)
        if kind == "number":
            return float(value)
    except ValueError:
        return None
    return {"true": True, "false": False}.get(value.lower()) if kind == "boolean" else None


def _span(value: str, is_date: bool) -> tuple[str, str] | None:
    """Start (inclusive) and end (exclusive) of a value, as the API writes times: a second, or a bare date's day."""
    try:
        if is_date:
            day = date.fromisoformat(value[:10])
            return day.isoformat(), (day + timedelta(days=1)).isoformat()
        at = datetime.fromisoformat(value)
    except (ValueError, OverflowError):
        return None
    is_bare = len(value) == len("2026-01-05")
    if at.tzinfo is None:
        at = at.replace(tzinfo=ORGANISATION_ZONE if is_bare else UTC)
    return written(at), written(at + (timedelta(days=1) if is_bare else timedelta(seconds=1)))


def _time_test(key: str, operator: str, span: tuple[str, str] | None) -> Test:
    if span is None:
        return lambda record: False
    low, high = span
    compare: dict[str, Callable[[str], bool]] = {
        "": lambda at: low <= at < high,
        "gt": lambda at: at >= high,
        "gte": lambda at: at >= low,
        "lt": lambda at: at < low,
        "lte": lambda at: at < high,
    }
    is_met = compare[operator]

    def is_within(record: Record) -> bool:
        at = getattr(record.attributes, key)
        return at is not None and is_met(at)

    return is_within


@dataclass(frozen=True, slots=True)
class _Descending:
    """A value that sorts in front of the smaller ones."""

    value: tuple[Any, ...]

    def __lt__(self, other: "_Descending") -> bool:
        return other.value < self.value


def _key(org: Organisation, entity: Entity, order: Sequence[str]) -> Key:
    """By each known attribute, nulls first; ties by id ascending, also of a descending attribute.

    What is no attribute of the record is one of its person.
    """
    names = [(name.removeprefix("-"), name.startswith("-")) for name in order]
    parts = [(name, is_descending) for name, is_descending in names if name in entity.order]
    if not parts:
        return number_of

    def key(record: Record) -> tuple[Any, ...]:
        values = ((_comparable(_ordering(org, entity, record, name)), is_descending) for name, is_descending in parts)
        return (*(_Descending(value) if is_descending else value for value, is_descending in values), number_of(record))

    return key


def _ordering(org: Organisation, entity: Entity, record: Record, name: str) -> object:
    if name in entity.attributes:
        return getattr(record.attributes, name)
    people = (org.find(PERSON, pointer.id) for pointer in pointers(record, "person"))
    return next((getattr(person.attributes, name.removeprefix("person.")) for person in people if person), None)


def _comparable(value: object) -> tuple[Any, ...]:
    if value is None or isinstance(value, dict):
        return (0,)
    return (1, fold(value) if isinstance(value, str) else value)
