"""People: campuses and the lists of values that persons refer to."""

from service.dev.simulator.draw import Draw
from service.dev.simulator.schema import Entity, Relation, Values, capped, entity, fixed
from service.dev.simulator.words import CITIES, STREETS

CAMPUSES_MAX = 8
MARITAL_STATUSES = ("Single", "Married", "Divorced", "Widowed", "Separated")
NAME_PREFIXES = ("Mr.", "Mrs.", "Ms.", "Dr.", "Rev.", "Señora")
NAME_SUFFIXES = ("Jr.", "Sr.", "II", "III", "PhD")
INACTIVE_REASONS = ("Moved", "Deceased", "No contact", "Attends elsewhere", "Asked to be removed")


def _campus(draw: Draw) -> Values:
    city, state, code = CITIES[draw.index % len(CITIES)]
    has_place = draw.chance(0.8)
    return {
        "church_center_enabled": draw.index == 0,
        "city": city,
        "country": "US",
        "description": None,
        "latitude": round(30 + draw.below(150_000) / 10_000, 4) if has_place else None,
        "longitude": round(-120 + draw.below(400_000) / 10_000, 4) if has_place else None,
        "name": f"{city} Campus",
        "phone_number": f"+1404555{draw.below(10_000):04}",
        "state": state,
        "street": f"{1 + draw.below(999)} {draw.pick(STREETS)}",
        "time_zone": "America/Chicago",
        "zip": code,
        "organization": draw.shape.organization,
    }


def _values(name: str, type: str, segment: str, values: tuple[str, ...]) -> Entity:
    def make(draw: Draw) -> Values:
        return {"value": values[draw.index % len(values)]}

    return entity(
        name,
        type,
        segment,
        "value",
        fixed(len(values)),
        make,
        writes="CUD",
        needs="value",
        where="value",
        order="value",
    )


ENTITIES: tuple[Entity, ...] = (
    entity(
        "people.campus",
        "Campus",
        "campuses",
        "T name description street city state zip country phone_number latitude:n longitude:n time_zone "
        "church_center_enabled:b",
        capped(3_000, 2, CAMPUSES_MAX),
        _campus,
        writes="CUD",
        needs="name",
        relations=(Relation("organization"),),
        where="T id",
        order="T name",
    ),
    _values("people.marital_status", "MaritalStatus", "marital_statuses", MARITAL_STATUSES),
    _values("people.name_prefix", "NamePrefix", "name_prefixes", NAME_PREFIXES),
    _values("people.name_suffix", "NameSuffix", "name_suffixes", NAME_SUFFIXES),
    _values("people.inactive_reason", "InactiveReason", "inactive_reasons", INACTIVE_REASONS),
)
