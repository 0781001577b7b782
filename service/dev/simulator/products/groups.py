"""Groups, their members and events. No entity here has an updated_at."""

from service.dev.simulator.draw import Draw
from service.dev.simulator.products import persons
from service.dev.simulator.schema import Entity, Fan, Relation, Values, capped, entity, fixed
from service.dev.simulator.words import CITIES, COLORS, SENTENCES, STREETS, TOPICS

GROUPS_MAX = 60
EVENTS_MAX = 80
BIG_GROUP = 130  # more members than fit on a page
BIG_EVENT = 110
PERSON_STRIDE = 37
ARCHIVED_EVERY = 15
PLACED_EVERY = 2  # each second group has a place where it usually meets
GROUP_TYPES = ("Small Groups", "Classes", "Teams", "Seasonal")
TAG_GROUPS = ("Day", "Stage of life", "Place")


def _group_type(draw: Draw) -> Values:
    return {
        "church_center_visible": draw.index < 3,
        "color": COLORS[draw.index % len(COLORS)],
        "description": None,
        "name": GROUP_TYPES[draw.index % len(GROUP_TYPES)],
        "position": draw.index + 1,
    }


def _is_archived(index: int) -> bool:
    return index % ARCHIVED_EVERY == ARCHIVED_EVERY - 1


def _group(draw: Draw) -> Values:
    return {
        "archived_at": draw.later() if _is_archived(draw.index) else None,
        "contact_email": f"group{draw.index}@{draw.shape.org}.example.org" if draw.chance(0.5) else None,
        "description": draw.pick(SENTENCES),
        "events_visibility": draw.pick(("public", "members")),
        "header_image": {"thumbnail": f"https://images.example.org/{draw.index}-t.png", "original": None},
        "listed": draw.chance(0.8),
        "location_type_preference": draw.pick(("physical", "virtual")),
        "memberships_count": draw.size("groups.membership", draw.index),
        "name": f"{TOPICS[draw.index % len(TOPICS)]} {draw.index + 1}",
        "schedule": draw.pick(("Tuesdays @7pm", "Weekly", None)),
        "group_type": draw.maybe(0.9, "groups.group_type"),  # a unique group has none
        "location": None if draw.index % PLACED_EVERY else draw.one("groups.location", draw.index // PLACED_EVERY),
    }


def _membership(draw: Draw) -> Values:
    return {
        "joined_at": draw.created,
        "role": "leader" if draw.slot == 0 else "member",
        "group": draw.one("groups.group", draw.parent),
        "person": draw.one("people.person", draw.parent * PERSON_STRIDE + draw.slot),
    }


def _event(draw: Draw) -> Values:
    start = draw.created[:11]
    group = draw.below(draw.shape.counts["groups.group"])
    is_canceled = draw.chance(0.05)
    return {
        "canceled": is_canceled,
        "canceled_at": draw.created if is_canceled else None,
        "description": draw.pick(SENTENCES),
        "ends_at": f"{start}21:00:00Z",
        "multi_day": False,
        "name": draw.pick(TOPICS),
        "repeating": draw.chance(0.5),
        "starts_at": f"{start}19:30:00Z",
        "group": draw.one("groups.group", 0 if _is_archived(group) else group),
        "location": draw.maybe(0.3, "groups.location"),
        "attendance_submitter": draw.maybe(0.3, "people.person"),
    }


def _attendance(draw: Draw) -> Values:
    return {
        "attended": draw.chance(0.7),
        "role": draw.pick(("member", "leader", "visitor", "applicant")),
        "person": draw.one("people.person", draw.parent * PERSON_STRIDE + draw.slot),
        "event": draw.one("groups.event", draw.parent),
    }


def _enrollment(draw: Draw) -> Values:
    limit = draw.pick((None, 12, 20))
    return {
        "auto_closed": False,
        "auto_closed_reason": None,
        "date_limit": None,
        "date_limit_reached": False,
        "member_limit": limit,
        "member_limit_reached": False,
        "status": draw.pick(("open", "closed", "private")),
        "strategy": draw.pick(("request_to_join", "open_signup", "closed")),
        "group": draw.one("groups.group", draw.parent),
    }


def _location(draw: Draw) -> Values:
    city, state, code = draw.pick(CITIES)
    street = f"{1 + draw.below(999)} {draw.pick(STREETS)}"
    return {
        "display_preference": draw.pick(("hidden", "approximate", "exact")),
        "full_formatted_address": f"{street}\n{city}, {state} {code}",
        "latitude": round(30 + draw.below(150_000) / 10_000, 4),
        "longitude": round(-120 + draw.below(400_000) / 10_000, 4),
        "name": f"House {draw.index + 1}",
        "radius": 0,
        "strategy": "exact",
    }


def _event_note(draw: Draw) -> Values:
    return {
        "body": draw.pick(SENTENCES),
        "annotatable": draw.one("groups.event", draw.parent),
        "owner": draw.maybe(0.9, "people.person"),
    }


def _tag_group(draw: Draw) -> Values:
    return {"name": TAG_GROUPS[draw.index % len(TAG_GROUPS)], "position": draw.index + 1}


def _tag(draw: Draw) -> Values:
    return {
        "name": TOPICS[(draw.parent * 7 + draw.slot) % len(TOPICS)],
        "position": draw.slot + 1,
        "tag_group": draw.one("groups.tag_group", draw.parent),
    }


ENTITIES: tuple[Entity, ...] = (
    entity(
        "groups.group_type",
        "GroupType",
        "group_types",
        "name description color position:i church_center_visible:b",
        fixed(len(GROUP_TYPES)),
        _group_type,
        where="id",
        order="name position",
        filters={
            "church_center_visible": ("church_center_visible", True),
            "not_church_center_visible": ("church_center_visible", False),
        },
    ),
    entity(
        "groups.group",
        "Group",
        "groups",
        "created_at:t archived_at:t name description schedule contact_email memberships_count:i "
        "location_type_preference events_visibility listed:b header_image:o",
        capped(60, 2, GROUPS_MAX),
        _group,
        writes="U",
        relations=(Relation("group_type", "groups.group_type", edge=True), Relation("location", "groups.location")),
        where="archive_status name",
        order="contact_email created_at listed memberships_count name",
        include="enrollment group_type location",
        filters={"hidden": ("listed", False), "published": ("listed", True)},
        hidden_by="archived_at",
        counts={"memberships_count": "groups.membership"},
    ),
    entity(
        "groups.membership",
        "Membership",
        "memberships",
        "joined_at:t role",
        Fan("groups.group", 8, first=BIG_GROUP),
        _membership,
        writes="CUD",
        relations=(
            Relation("group", "groups.group", required=True),
            Relation("person", "people.person", required=True),
        ),
        under="groups.group",
        where="role",
        order="first_name joined_at last_name role",
        include="person",
    ),
    entity(
        "groups.event",
        "Event",
        "events",
        "name starts_at:t ends_at:t canceled:b canceled_at:t description multi_day:b repeating:b",
        capped(50, 3, EVENTS_MAX),
        _event,
        relations=(
            Relation("group", "groups.group", required=True),
            Relation("location", "groups.location"),
            Relation("attendance_submitter", "people.person"),
            Relation("repeating_event"),
        ),
        where="name starts_at ends_at",
        order="name starts_at ends_at",
        include="group location",
        filters={"canceled": ("canceled", True), "not_canceled": ("canceled", False)},
    ),
    entity(
        "groups.attendance",
        "Attendance",
        "attendances",
        "attended:b role",
        Fan("groups.event", 6, first=BIG_EVENT),
        _attendance,
        relations=(
            Relation("person", "people.person", required=True),
            Relation("event", "groups.event", required=True),
        ),
        under="groups.event",
        where="role",
        order="first_name last_name role",
        include="person",
        filters={"attended": ("attended", True)},
    ),
    entity(
        "groups.tag_group",
        "TagGroup",
        "tag_groups",
        "name position:i",
        fixed(len(TAG_GROUPS)),
        _tag_group,
        where="name",
        order="name position",
    ),
    entity(
        "groups.tag",
        "Tag",
        "tags",
        "name position:i",
        Fan("groups.tag_group", 5),
        _tag,
        relations=(Relation("tag_group", "groups.tag_group", required=True),),
        under="groups.tag_group",
        where="id name",
        order="name position",
    ),
    entity(
        "groups.enrollment",
        "Enrollment",
        "enrollment",
        "status strategy auto_closed:b auto_closed_reason date_limit date_limit_reached:b member_limit:i "
        "member_limit_reached:b",
        Fan("groups.group", one_in=1),
        _enrollment,
        relations=(Relation("group", "groups.group", required=True),),
        under="groups.group",
        is_single=True,
    ),
    entity(
        "groups.location",
        "Location",
        "location",
        "name display_preference full_formatted_address latitude:n longitude:n radius:i strategy",
        Fan("groups.group", one_in=PLACED_EVERY),
        _location,
        under="groups.group",
        is_single=True,
    ),
    entity(
        "groups.event_note",
        "EventNote",
        "notes",
        "body",
        Fan("groups.event", 2),
        _event_note,
        relations=(Relation("annotatable", "groups.event", required=True), Relation("owner", "people.person")),
        under="groups.event",
        include="owner",
    ),
    persons.OF_GROUPS,
)
