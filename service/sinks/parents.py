"""Parent rows: the columns that a child may name, and their values as text for a path."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime

from agents.ports import Parent
from manifests.entity import FieldType
from service.sinks.schema import EntityTable
from topics.errors import Rejected

PARENTS_READ_MAX = 10_000  # rows of one call; the next call begins after the last key


def column_types(table: EntityTable, names: Sequence[str]) -> dict[str, FieldType]:
    """The types of the named columns, the key's included. Rejected for a name that the table does not have."""
    known: dict[str, FieldType] = {"id": "text"}
    known.update((column.name, column.type) for column in table.columns)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise Rejected(
            f"table {table.name} has no column {', '.join(unknown)} to read children by; name one of: "
            f"{', '.join(sorted(known))}"
        )
    return {name: known[name] for name in names}


def parent(key: str, types: Mapping[str, FieldType], values: Sequence[object]) -> Parent:
    """The parent, without columns that have no value: no child can be read by those."""
    named = zip(types, values, strict=True)
    return Parent(key, {name: as_text(value, types[name]) for name, value in named if value is not None})


def as_text(value: object, type_: FieldType) -> str:
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, date):
        return value.isoformat()
    if type_ == "boolean":
        return "true" if value else "false"
    return str(value)


def iso(moment: datetime) -> str:
    """ISO 8601 in UTC with microseconds: all have one length, so that they sort as text by time."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
