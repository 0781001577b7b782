"""Payloads of writes: `{"data": {"type", "attributes", "relationships"}}`, read and judged as the API does it.

An invalid date or number becomes null without an error, as documented; a grade outside -1 to 12 is an error.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import msgspec

from service.dev.simulator.catalog import ENTITIES
from service.dev.simulator.draw import written
from service.dev.simulator.responses import BAD_PAYLOAD, NO_DATA, NOT_FOUND, Response, invalid
from service.dev.simulator.schema import Entity, Kind, Relation, Values
from service.dev.simulator.store import Organisation

API_SETS = frozenset({"created_at", "updated_at"})
GRADES = range(-1, 13)

Ids = str | list[str] | None


class Refused(Exception):
    """A payload that the API does not take, with its response."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response

    @classmethod
    def blank(cls, entity: Entity, name: str) -> "Refused":
        return cls(invalid(entity.type, name, "can't be blank"))

    @classmethod
    def unassignable(cls, entity: Entity, name: str) -> "Refused":
        detail = f"{name} cannot be assigned"
        return cls(invalid(entity.type, name, detail, "Forbidden Attribute", "forbidden_attribute"))


@dataclass(frozen=True, slots=True)
class Wanted:
    """The values that a client gives a record: attributes, and ids by relationship."""

    attributes: Values
    targets: dict[str, Ids]


def read_payload(org: Organisation, entity: Entity, body: bytes) -> Wanted:
    """Raises Refused."""
    data = _data(body)
    wanted = Wanted({}, {})
    for name, value in _object(data.get("attributes")).items():
        relation = entity.relation(name.removesuffix("_id")) if name.endswith("_id") else None
        if relation is not None and relation.to:  # it repeats a relationship, as a note's note_category_id
            if value is not None and org.find(relation.to, str(value)) is None:
                raise Refused(NOT_FOUND)
            wanted.targets[relation.name] = None if value is None else str(value)
        else:
            wanted.attributes[name] = _value(entity, name, value)
    for name, value in _object(data.get("relationships")).items():
        wanted.targets[name] = _ids(org, entity, entity.relation(name), name, _object(value).get("data"))
    return wanted


def _data(body: bytes) -> Mapping[str, Any]:
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Refused(BAD_PAYLOAD) from None
    if not isinstance(document, dict) or "data" not in document:
        raise Refused(NO_DATA)
    return _object(document["data"])


def _object(value: object) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Refused(BAD_PAYLOAD)
    return value


def _value(entity: Entity, name: str, value: Any) -> Any:
    is_set_by_api = name in API_SETS or name in entity.counts or (entity.name == "people.person" and name == "name")
    if name not in entity.attributes or is_set_by_api:
        raise Refused.unassignable(entity, name)
    value = None if value is None else _CONVERT[entity.attributes[name]](value)
    if name == "grade" and value is not None and value not in GRADES:
        raise Refused(invalid(entity.type, name, "is not included in the list"))
    return value


def _ids(org: Organisation, entity: Entity, relation: Relation | None, name: str, data: object) -> Ids:
    if relation is None or not relation.to:
        raise Refused.unassignable(entity, name)
    if relation.many != isinstance(data, list):
        raise Refused(BAD_PAYLOAD)
    if data is None:
        return None
    ids = [str(_object(each).get("id")) for each in (data if isinstance(data, list) else [data])]
    for id in ids:
        if org.find(ENTITIES[relation.to].name, id) is None:
            detail = f"could not find {name} with id {id}"
            code = "attribute_resource_not_found"
            raise Refused(invalid(entity.type, name, detail, "Attribute Resource Not Found", code))
    return ids if relation.many else ids[0]


def _text(value: Any) -> Any:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _integer(value: Any) -> int | None:
    text = str(value).strip()
    return int(text) if text.removeprefix("-").isdecimal() and len(text) < 19 else None


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _boolean(value: Any) -> bool:
    return value is True or str(value).lower() in ("true", "1")


def _time(value: Any) -> str | None:
    try:
        at = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return written(at if at.tzinfo else at.replace(tzinfo=UTC))


def _date(value: Any) -> str | None:
    try:
        return date.fromisoformat(value[:10]).isoformat()
    except (TypeError, ValueError):
        return None


_CONVERT: Mapping[Kind, Callable[[Any], Any]] = {
    "text": _text,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "time": _time,
    "date": _date,
    "object": lambda value: value,
    "array": lambda value: value,
}
