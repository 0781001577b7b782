"""Check-Ins (in URLs check-ins; check_ins works, too)."""

from service.dev.simulator.draw import Draw
from service.dev.simulator.products import persons
from service.dev.simulator.schema import Entity, Fan, Relation, Values, capped, entity, fixed, share
from service.dev.simulator.words import TOPICS

EVENTS = 4
BIG_EVENT = 104  # more periods than fit on a page
EVENT_TIMES_MAX = 300
WITHOUT_PERSON = 0.06  # label-only visitors
OF_EVENT = Relation("event", "checkins.event", required=True)


def _event(draw: Draw) -> Values:
    return {
        "archived_at": None,
        "frequency": draw.pick(("Weekly", "Daily", "None")),
        "name": f"{TOPICS[draw.index * 3 % len(TOPICS)]} Check-In",
    }


def _event_period(draw: Draw) -> Values:
    day = draw.created[:11]
    return {
        "ends_at": f"{day}13:00:00Z",
        "guest_count": draw.below(20),
        "note": None,
        "regular_count": draw.below(150),
        "starts_at": f"{day}08:00:00Z",
        "volunteer_count": draw.below(25),
        "event": draw.one("checkins.event", draw.parent),
    }


def _event_time(draw: Draw) -> Values:
    period = draw.below(draw.shape.counts["checkins.event_period"])
    day = draw.created[:11]
    return {
        "guest_count": draw.below(20),
        "hides_at": f"{day}12:00:00Z",
        "name": draw.pick(("9:00", "11:00", None)),
        "regular_count": draw.below(90),
        "shows_at": f"{day}08:00:00Z",
        "starts_at": f"{day}09:00:00Z",
        "total_count": draw.below(120),
        "volunteer_count": draw.below(15),
        "event": draw.one("checkins.event", draw.parent_of("checkins.event_period", period)),
        "event_period": draw.one("checkins.event_period", period),
    }


def _location(draw: Draw) -> Values:
    return {
        "kind": draw.pick(("Room", "Folder")),
        "max_occupancy": draw.pick((10, 25, None)),
        "name": f"Room {draw.parent + 1}.{draw.slot + 1}",
        "opened": draw.chance(0.9),
        "position": draw.slot + 1,
    }


def _check_in(draw: Draw) -> Values:
    person = draw.below(draw.shape.counts["people.person"])
    first, last = draw.name(person)
    kind = draw.pick(("Regular", "Volunteer", "Guest"))
    return {
        "checked_out_at": draw.updated if draw.chance(0.4) else None,
        "confirmed_at": draw.created,
        "emergency_contact_name": last if kind == "Guest" else None,
        "emergency_contact_phone_number": "404-555-0100" if kind == "Guest" else None,
        "first_name": first,
        "kind": kind,
        "last_name": last,
        "medical_notes": None,
        "number": draw.index + 1,
        "one_time_guest": kind == "Guest" and draw.chance(0.2),
        "security_code": f"{draw.below(1_679_616):X}",
        "event_period": draw.any("checkins.event_period"),
        "person": None if draw.chance(WITHOUT_PERSON) else draw.one("people.person", person),
    }


ENTITIES: tuple[Entity, ...] = (
    entity(
        "checkins.event",
        "Event",
        "events",
        "T name frequency archived_at:t",
        fixed(EVENTS),
        _event,
        where="id name",
    ),
    entity(
        "checkins.event_period",
        "EventPeriod",
        "event_periods",
        "T starts_at:t ends_at:t regular_count:i guest_count:i volunteer_count:i note",
        Fan("checkins.event", 12, first=BIG_EVENT, is_full=True),
        _event_period,
        relations=(OF_EVENT,),
        under="checkins.event",
    ),
    entity(
        "checkins.event_time",
        "EventTime",
        "event_times",
        "T name starts_at:t shows_at:t hides_at:t regular_count:i guest_count:i volunteer_count:i total_count:i",
        capped(40, 4, EVENT_TIMES_MAX),
        _event_time,
        relations=(OF_EVENT, Relation("event_period", "checkins.event_period", required=True)),
        where="T",
    ),
    entity(
        "checkins.location",
        "Location",
        "locations",
        "T name kind opened:b position:i max_occupancy:i",
        Fan("checkins.event", 5),
        _location,
        relations=(Relation("parent"),),
        under="checkins.event",
        order="name kind position",
    ),
    entity(
        "checkins.check_in",
        "CheckIn",
        "check_ins",
        "T first_name last_name number:i security_code kind confirmed_at:t checked_out_at:t one_time_guest:b "
        "medical_notes emergency_contact_name emergency_contact_phone_number",
        share(0.1),
        _check_in,
        relations=(
            Relation("event_period", "checkins.event_period", required=True),
            Relation("person", "people.person"),
        ),
        where="T security_code",
        order="T first_name last_name number checked_out_at",
        include="event_period",
    ),
    persons.OF_CHECKINS,
)
