"""Calendar: events, their instances, and the resources that they book."""

from service.dev.simulator.draw import Draw
from service.dev.simulator.schema import Entity, Relation, Values, capped, entity, fixed
from service.dev.simulator.words import SENTENCES, TOPICS

EVENTS_MAX = 60
INSTANCES_MAX = 400
RESOURCES_MAX = 40
BOOKINGS_MAX = 400
TAGS_MAX = 20
TAG_GROUPS = ("Audience", "Ministry")


def _event(draw: Draw) -> Values:
    return {
        "approval_status": draw.pick(("A", "A", "P", "R")),
        "description": draw.pick(SENTENCES),
        "featured": draw.chance(0.1),
        "name": draw.pick(TOPICS),
        "summary": None,
        "visible_in_church_center": draw.chance(0.6),
        "owner": draw.maybe(0.9, "people.person"),
    }


def _event_instance(draw: Draw) -> Values:
    day = draw.created[:11]
    return {
        "all_day_event": draw.chance(0.1),
        "ends_at": f"{day}20:00:00Z",
        "location": draw.pick(("Main hall", "Room 2, über die Treppe", None)),
        "name": draw.pick(TOPICS),
        "recurrence": draw.pick(("None", "Every week")),
        "starts_at": f"{day}18:00:00Z",
        "event": draw.one("calendar.event", _event_of(draw, draw.index)),
    }


def _event_of(draw: Draw, instance: int) -> int:
    return draw.steady("event-of-instance", instance, draw.shape.counts["calendar.event"])


def _resource(draw: Draw) -> Values:
    kind = draw.pick(("Room", "Resource"))
    return {"kind": kind, "name": f"{kind} {draw.index + 1}", "quantity": 1 if kind == "Room" else 1 + draw.below(50)}


def _resource_booking(draw: Draw) -> Values:
    instance = draw.below(draw.shape.counts["calendar.event_instance"])
    day = draw.created[:11]
    return {
        "ends_at": f"{day}21:00:00Z",
        "quantity": 1 + draw.below(3),
        "starts_at": f"{day}17:00:00Z",
        "event": draw.one("calendar.event", _event_of(draw, instance)),
        "event_instance": draw.one("calendar.event_instance", instance),
        "resource": draw.any("calendar.resource"),
    }


def _tag(draw: Draw) -> Values:
    return {
        "name": TOPICS[draw.index * 3 % len(TOPICS)],
        "position": float(draw.index + 1),
        "tag_group": draw.maybe(0.8, "calendar.tag_group"),  # an individual tag has none
    }


def _tag_group(draw: Draw) -> Values:
    return {"name": TAG_GROUPS[draw.index % len(TAG_GROUPS)], "required": draw.index == 0}


ENTITIES: tuple[Entity, ...] = (
    entity(
        "calendar.event",
        "Event",
        "events",
        "T name summary description approval_status featured:b visible_in_church_center:b",
        capped(100, 3, EVENTS_MAX),
        _event,
        relations=(Relation("owner", "people.person"), Relation("calendar")),
        where="T name approval_status featured",
        include="owner",
    ),
    entity(
        "calendar.event_instance",
        "EventInstance",
        "event_instances",
        "T name starts_at:t ends_at:t all_day_event:b location recurrence",
        capped(25, 4, INSTANCES_MAX),
        _event_instance,
        relations=(Relation("event", "calendar.event", required=True),),
        where="T starts_at ends_at",
        order="T starts_at ends_at",
        include="event resource_bookings",
    ),
    entity(
        "calendar.resource",
        "Resource",
        "resources",
        "T name kind quantity:i",
        capped(200, 3, RESOURCES_MAX),
        _resource,
        where="T name kind",
        order="T name",
    ),
    entity(
        "calendar.resource_booking",
        "ResourceBooking",
        "resource_bookings",
        "T starts_at:t ends_at:t quantity:i",
        capped(25, 4, BOOKINGS_MAX),
        _resource_booking,
        relations=(
            Relation("event", "calendar.event", required=True),
            Relation("event_instance", "calendar.event_instance", required=True),
            Relation("resource", "calendar.resource", required=True),
        ),
        where="T starts_at ends_at",
        order="T starts_at ends_at",
        include="event_instance resource",
    ),
    entity(
        "calendar.tag",
        "Tag",
        "tags",
        "T name position:n",
        capped(400, 3, TAGS_MAX),
        _tag,
        relations=(Relation("tag_group", "calendar.tag_group", shown=False, edge=True),),
        where="T id name position",
        order="name position",
        include="tag_group",
        writes="CUD",
        needs="name",
    ),
    entity(
        "calendar.tag_group",
        "TagGroup",
        "tag_groups",
        "T name required:b",
        fixed(len(TAG_GROUPS)),
        _tag_group,
        where="T name",
        order="name",
        writes="CUD",
        needs="name",
    ),
)
