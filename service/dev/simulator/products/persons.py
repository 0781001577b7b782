"""Persons of other products than People: other attributes of some of the same persons, with the same ids."""

from typing import Any

from service.dev.simulator.draw import Draw
from service.dev.simulator.schema import Entity, Relation, Values, entity, share

MIRRORED = "people.person"
IS_PERSON = Relation("person", MIRRORED, required=True, shown=False)  # not in the API: a record goes with its person


def _names(draw: Draw) -> dict[str, Any]:
    first, last = draw.name(draw.index)
    return {"first_name": first, "last_name": last, "person": draw.one(MIRRORED, draw.index)}


def _contacts(draw: Draw) -> dict[str, Any]:
    number = f"404-555-{draw.below(10_000):04}"
    return {
        "addresses": [],
        "email_addresses": [
            {"address": f"person{draw.index}@mail.example.org", "location": "Home", "primary": True, "blocked": False}
        ],
        "phone_numbers": [{"number": number, "carrier": None, "location": "Mobile", "primary": True}],
    }


def _avatar(draw: Draw) -> str:
    return f"https://avatars.example.org/{draw.shape.org}/{draw.index}.png"


def _of_groups(draw: Draw) -> Values:
    permissions = draw.pick(("administrator", "leader", "member", "no access"))
    own = {"avatar_url": _avatar(draw), "child": draw.chance(0.2), "permissions": permissions}
    return _names(draw) | _contacts(draw) | own


def _of_giving(draw: Draw) -> Values:
    has_donated = draw.chance(0.6)
    return {
        **_names(draw),
        **_contacts(draw),
        "donor_number": 1_000 + draw.index if draw.chance(0.5) else None,
        "first_donated_at": draw.later() if has_donated else None,
        "permissions": "administrator" if draw.index < 2 else None,
        "primary_campus": draw.maybe(0.8, "people.campus"),
    }


def _of_checkins(draw: Draw) -> Values:
    names = _names(draw)
    is_child = draw.chance(0.4)
    count = draw.below(60)
    return {
        **names,
        **_contacts(draw),
        "avatar_url": _avatar(draw),
        "birthdate": draw.day(2012, 2022) if is_child else None,
        "check_in_count": count,
        "child": is_child,
        "demographic_avatar_url": _avatar(draw),
        "gender": draw.pick(("Male", "Female", None)),
        "grade": draw.below(13) if is_child else None,
        "headcounter": False,
        "ignore_filters": False,
        "last_checked_in_at": draw.updated if count else None,
        "medical_notes": "Peanuts" if draw.chance(0.02) else None,
        "middle_name": None,
        "name": f"{names['first_name']} {names['last_name']}",
        "passed_background_check": draw.chance(0.1),
        "permission": "Editor" if draw.index < 3 else None,
        "top_permission": "Editor" if draw.index < 3 else None,
    }


def _of_services(draw: Draw) -> Values:
    names = _names(draw)
    is_archived = draw.chance(0.05)
    return {
        **names,
        "archived": is_archived,
        "archived_at": draw.updated if is_archived else None,
        "assigned_to_rehearsal_team": False,
        "birthdate": draw.day(1950, 2005) if draw.chance(0.5) else None,
        "full_name": f"{names['first_name']} {names['last_name']}",
        "logged_in_at": draw.later() if draw.chance(0.6) else None,
        "max_permissions": "Scheduled Viewer",
        "max_plan_permissions": "Scheduled Viewer",
        "passed_background_check": draw.chance(0.1),
        "permissions": "Administrator" if draw.index < 3 else "Scheduled Viewer",
        "photo_thumbnail_url": _avatar(draw),
        "photo_url": _avatar(draw),
        "preferred_max_plans_per_day": 0,
        "preferred_max_plans_per_month": draw.below(5),
        "site_administrator": draw.index == 0,
        "status": "active",
    }


OF_GROUPS: Entity = entity(
    "groups.person",
    "Person",
    "people",
    "created_at:t first_name last_name permissions avatar_url child:b? addresses:a email_addresses:a phone_numbers:a",
    share(0.3),
    _of_groups,
    relations=(IS_PERSON,),
    where="first_name last_name",
    order="first_name last_name",
    mirrors=MIRRORED,
)
OF_GIVING: Entity = entity(
    "giving.person",
    "Person",
    "people",
    "first_name last_name permissions donor_number:i first_donated_at:t addresses:a email_addresses:a phone_numbers:a",
    share(0.3),
    _of_giving,
    relations=(IS_PERSON, Relation("primary_campus", "people.campus")),
    where="first_name last_name",
    mirrors=MIRRORED,
)
OF_CHECKINS: Entity = entity(
    "checkins.person",
    "Person",
    "people",
    "T name first_name middle_name last_name name_prefix name_suffix gender birthdate:d grade:i child:b "
    "check_in_count:i last_checked_in_at:t headcounter:b ignore_filters:b passed_background_check:b permission "
    "top_permission medical_notes avatar_url demographic_avatar_url addresses:a email_addresses:a phone_numbers:a",
    share(0.2),
    _of_checkins,
    relations=(IS_PERSON,),
    where="headcounter ignore_filters permission search_name",
    order="check_in_count first_name last_checked_in_at last_name",
    mirrors=MIRRORED,
)
OF_SERVICES: Entity = entity(
    "services.person",
    "Person",
    "people",
    "T first_name middle_name last_name full_name given_name nickname name_prefix name_suffix birthdate anniversary "
    "status archived:b archived_at:t assigned_to_rehearsal_team:b logged_in_at:t legacy_id notes permissions "
    "max_permissions max_plan_permissions media_permissions song_permissions passed_background_check:b photo_url "
    "photo_thumbnail_url preferred_max_plans_per_day:i preferred_max_plans_per_month:i site_administrator:b",
    share(0.1),
    _of_services,
    relations=(IS_PERSON, Relation("created_by"), Relation("updated_by"), Relation("current_folder")),
    where="assigned_to_rehearsal_team legacy_id",
    order="T first_name last_name",
    mirrors=MIRRORED,
)
