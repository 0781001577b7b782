"""People: persons, their contact data, households and mergers."""

from service.dev.simulator.draw import Draw, Pointer
from service.dev.simulator.products import people_fields, people_reference, people_work
from service.dev.simulator.schema import SEARCHES, Entity, Fan, Relation, Values, capped, entity, share
from service.dev.simulator.words import CITIES, STREETS

HOUSEHOLDS_MAX = 150
MERGERS_MAX = 50
HOUSEHOLD_STRIDE = 4  # a household's persons have adjacent indexes, and it has at most this many
WITH_EMAIL = 0.9
OWNER = Relation("person", "people.person", required=True)


def _person(draw: Draw) -> Values:
    first, last = draw.name(draw.index)
    is_child = draw.chance(0.2)
    status = "inactive" if draw.chance(0.08) else "active"
    nickname = draw.name(draw.index + 1)[0] if draw.chance(0.1) else None
    return {
        "accounting_administrator": False,
        "anniversary": None if is_child or draw.chance(0.7) else draw.day(1980, 2020),
        "avatar": f"https://avatars.example.org/{draw.shape.org}/{draw.index}.png",
        "birthdate": draw.day(2008, 2017) if is_child else draw.day(1935, 2005) if draw.chance(0.7) else None,
        "can_create_forms": draw.index < 5,
        "can_email_lists": draw.index < 10,
        "child": is_child,
        "demographic_avatar_url": f"https://avatars.example.org/{'child' if is_child else 'adult'}.png",
        "directory_shared_info": {},
        "directory_status": "no_access",
        "first_name": first,
        "gender": draw.pick(("Male", "Female", None)),
        "given_name": None,
        "grade": draw.below(13) if is_child else None,
        "graduation_year": 2026 + draw.below(12) if is_child else None,
        "inactivated_at": draw.updated if status == "inactive" else None,
        "last_name": last,
        "login_identifier": f"{draw.index}@{draw.shape.org}.example.org" if draw.index < 10 else None,
        "medical_notes": "Peanuts" if draw.chance(0.02) else None,
        "membership": draw.pick(("Member", "Regular Attender", "Visitor", None)),
        "mfa_configured": draw.index < 3,
        "middle_name": draw.name(draw.index + 7)[0] if draw.chance(0.3) else None,
        "name": f"{nickname or first} {last}",
        "nickname": nickname,
        "passed_background_check": draw.chance(0.1),
        "people_permissions": "Manager" if draw.index < 3 else None,
        "remote_id": 5_000 + draw.index if draw.chance(0.5) else None,
        "resource_permission_flags": {"can_access_workflows": draw.index < 3},
        "school_type": "elementary" if is_child else None,
        "site_administrator": draw.index == 0,
        "status": status,
        "primary_campus": draw.maybe(0.8, "people.campus"),
        "created_by": draw.one("people.person", 0) if draw.index and draw.chance(0.5) else None,
        "marital_status": None if is_child else draw.maybe(0.6, "people.marital_status"),
        "name_prefix": draw.maybe(0.2, "people.name_prefix"),
        "name_suffix": draw.maybe(0.05, "people.name_suffix"),
        "inactive_reason": draw.any("people.inactive_reason") if status == "inactive" else None,
    }


def _owner(draw: Draw, with_one: float = 1.0) -> tuple[Pointer, bool]:
    """The first records belong to one person each and are primary; the others are a person's second one."""
    firsts = max(1, int(draw.shape.counts["people.person"] * with_one))
    if draw.index < firsts:
        return draw.one("people.person", draw.index), True
    return draw.one("people.person", draw.index * 7_919 % firsts), False


def _email(draw: Draw) -> Values:
    person, is_primary = _owner(draw, WITH_EMAIL)
    return {
        "address": f"person{draw.index}@{draw.pick(('mail', 'post', 'Inbox'))}.example.org",
        "blocked": draw.chance(0.01),
        "location": draw.pick(("Home", "Work", "Other")),
        "primary": is_primary,
        "person": person,
    }


def _phone_number(draw: Draw) -> Values:
    person, is_primary = _owner(draw, WITH_EMAIL)
    if draw.chance(0.01):
        return {"number": "", "location": "Other", "primary": is_primary, "person": person}
    area, line = 200 + draw.below(800), f"{draw.below(10_000):04}"
    return {
        "carrier": None,
        "country_code": "US",
        "e164": f"+1{area}555{line}",
        "international": f"+1 {area}-555-{line}",
        "location": draw.pick(("Mobile", "Home", "Work")),
        "national": f"({area}) 555-{line}",
        "number": f"({area}) 555-{line}",
        "primary": is_primary,
        "person": person,
    }


def _address(draw: Draw) -> Values:
    person, is_primary = _owner(draw, 0.7)
    city, state, code = draw.pick(CITIES)
    return {
        "city": city,
        "country_code": "CA" if state == "QC" else "US",
        "country_name": "Canada" if state == "QC" else "United States",
        "location": draw.pick(("Home", "Work")),
        "primary": is_primary,
        "state": state,
        "street_line_1": f"{1 + draw.below(9_999)} {draw.pick(STREETS)}",
        "street_line_2": f"Apt {draw.below(60)}" if draw.chance(0.2) else None,
        "zip": code,
        "person": person,
    }


def _household(draw: Draw) -> Values:
    size = draw.size("people.household_membership", draw.index)
    first = draw.index * HOUSEHOLD_STRIDE
    people = draw.shape.counts["people.person"]
    members = [draw.one("people.person", first + slot) for slot in range(size)]
    head = draw.name(first % people)
    return {
        "avatar": None,
        "member_count": size,
        "name": f"{head[1]} Household",
        "primary_contact_name": f"{head[0]} {head[1]}" if members else None,
        "primary_contact": members[0] if members else None,
        "people": tuple(members),
    }


def _household_membership(draw: Draw) -> Values:
    person = draw.parent * HOUSEHOLD_STRIDE + draw.slot
    return {
        "household_role": draw.pick(("adult", "child_or_dependent", "other_adult", "parent_guardian")),
        "pending": False,
        "person_name": " ".join(draw.name(person % draw.shape.counts["people.person"])),
        "person": draw.one("people.person", person),
    }


def _social_profile(draw: Draw) -> Values:
    site = draw.pick(("Facebook", "Instagram", "LinkedIn"))
    return {
        "site": site,
        "url": f"https://{site.lower()}.example.org/p{draw.index}",
        "verified": draw.chance(0.3),
        "person": draw.any("people.person"),
    }


def _person_merger(draw: Draw) -> Values:
    return {
        "person_to_keep": draw.any("people.person"),
        "person_to_remove": draw.shape.vanished("people.person", draw.index),
    }


_NAMES = "first_name last_name given_name middle_name nickname"
_STATES = (
    f"{_NAMES} gender birthdate anniversary grade graduation_year child status membership remote_id inactivated_at"
)
_LISTED = f"{_STATES} accounting_administrator site_administrator people_permissions"
_STREET = "street_line_1 street_line_2 city state zip country_code location primary"

ENTITIES: tuple[Entity, ...] = (
    entity(
        "people.person",
        "Person",
        "people",
        f"T {_NAMES} name gender birthdate:d anniversary:d grade:i graduation_year:i child:b status membership "
        "medical_notes remote_id:i avatar demographic_avatar_url school_type inactivated_at:t people_permissions "
        "login_identifier stripe_customer_identifier:? directory_status directory_shared_info:o? "
        "resource_permission_flags:o accounting_administrator:b site_administrator:b can_create_forms:b "
        "can_email_lists:b passed_background_check:b mfa_configured:b?",
        share(1),
        _person,
        writes="CUD",
        relations=(
            Relation("primary_campus", "people.campus"),
            Relation("created_by", "people.person", shown=False),
            Relation("marital_status", "people.marital_status", shown=False),
            Relation("name_prefix", "people.name_prefix", shown=False),
            Relation("name_suffix", "people.name_suffix", shown=False),
            Relation("inactive_reason", "people.inactive_reason", shown=False),
        ),
        where=f"T {_LISTED} id primary_campus_id medical_notes mfa_configured {' '.join(SEARCHES)}",
        order=f"T {_LISTED}",
        include="addresses emails field_data households inactive_reason marital_status name_prefix name_suffix "
        "phone_numbers primary_campus social_profiles",
        filters={"admins": ("site_administrator", True)},
        has_page=True,
    ),
    entity(
        "people.email",
        "Email",
        "emails",
        "T address location primary:b blocked:b",
        share(1.05),
        _email,
        writes="CUD",
        needs="address location",
        relations=(OWNER,),
        where="T address location primary blocked",
        order="T address location primary",
        include="person",
    ),
    entity(
        "people.phone_number",
        "PhoneNumber",
        "phone_numbers",
        "T number e164 national international country_code carrier location primary:b",
        share(1),
        _phone_number,
        writes="CUD",
        needs="number location",
        relations=(OWNER,),
        where="T number carrier location primary",
        order="T number carrier location primary",
    ),
    entity(
        "people.address",
        "Address",
        "addresses",
        f"T {_STREET}:b country_name",
        share(0.8),
        _address,
        writes="CUD",
        relations=(OWNER,),
        where=_STREET,
        order=f"T {_STREET}",
    ),
    entity(
        "people.household",
        "Household",
        "households",
        "T name member_count:i primary_contact_id primary_contact_name avatar",
        capped(30, 1, HOUSEHOLDS_MAX),
        _household,
        writes="CUD",
        needs="name",
        relations=(Relation("primary_contact", "people.person"), Relation("people", "people.person", many=True)),
        where="T name member_count primary_contact_name",
        order="T name member_count primary_contact_name",
        include="people",
        counts={"member_count": "people.household_membership"},
    ),
    entity(
        "people.household_membership",
        "HouseholdMembership",
        "household_memberships",
        "household_role pending:b person_name",
        Fan("people.household", 3, is_full=True),
        _household_membership,
        writes="CUD",
        relations=(OWNER,),
        under="people.household",
        where="pending person_name",
        order="pending person_name",
        include="person",
    ),
    entity(
        "people.social_profile",
        "SocialProfile",
        "social_profiles",
        "T site url verified:b",
        share(0.05),
        _social_profile,
        writes="CUD",
        relations=(Relation("person", "people.person", required=True, shown=False),),
        where="T site url verified",
        order="T site url verified",
        include="person",
    ),
    entity(
        "people.person_merger",
        "PersonMerger",
        "person_mergers",
        "created_at:t person_to_keep_id person_to_remove_id",
        capped(1_000, 2, MERGERS_MAX),
        _person_merger,
        relations=(
            Relation("person_to_keep", "people.person", history=True),
            Relation("person_to_remove", "people.person", history=True),
        ),
        where="created_at person_to_keep_id person_to_remove_id",
        order="created_at",
    ),
    *people_reference.ENTITIES,
    *people_fields.ENTITIES,
    *people_work.ENTITIES,
)
