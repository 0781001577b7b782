"""Content that changes: which attributes of an entity have new values now and then, and which values."""

from random import Random

from service.dev.simulator.record import Record
from service.dev.simulator.schema import Entity, Kind, Values

# Text that may be anything. Other text is of a few values, a date, or made by the API out of other attributes.
PROSE = frozenset(
    (
        *("address", "author", "body", "description", "emergency_contact_name", "file_name", "first_name"),
        *("full_formatted_address", "ledger_code", "medical_notes", "memo", "name", "nickname", "note", "person_name"),
        *("schedule", "series_title", "street_line_1", "summary", "team_position_name", "title", "url", "value"),
    )
)
SET_BY_OTHERS = frozenset(("primary", "grade", "default"))  # by other records; of a narrow range; of one record
COUNTERS = ("_count", "total_people", "total_cents")  # the ends of their names


def changing(entity: Entity) -> tuple[str, ...]:
    """The attributes that an edit may change."""
    return tuple(name for name, kind in entity.attributes.items() if _may_change(entity, name, kind))


def counters(entity: Entity) -> tuple[str, ...]:
    """The attributes that count what the simulator itself does not count."""
    integers = (name for name in changing(entity) if entity.attributes[name] == "integer")
    return tuple(name for name in integers if name.endswith(COUNTERS))


def edited(entity: Entity, record: Record, number: int, random: Random) -> Values:
    """Another value of one attribute; of none, where none may change. `number` makes text new."""
    names = changing(entity)
    if not names:
        return {}
    name = random.choice(names)
    return {name: _other(entity, record, name, number)}


def counted(entity: Entity, record: Record, random: Random) -> Values:
    """One more of something."""
    name = random.choice(counters(entity))
    return {name: _other(entity, record, name, 0)}


def _may_change(entity: Entity, name: str, kind: Kind) -> bool:
    if name in SET_BY_OTHERS or name in entity.counts or name.endswith("_id"):
        return False
    return name in PROSE if kind == "text" else kind in ("boolean", "integer")


def _other(entity: Entity, record: Record, name: str, number: int) -> object:
    value, kind = getattr(record.attributes, name), entity.attributes[name]
    if kind == "boolean":
        return not value
    return (value or 0) + 1 if kind == "integer" else f"Changed {number}"
