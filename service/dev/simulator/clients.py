"""Writes as clients of the API make them: POST creates a record, PATCH changes one, DELETE removes one.

An error of the documentation or of a recording has its words. Ours, where there is none: 403 for what no client may
write, and for a collection that cannot be posted to; 422 for an attribute that is unknown or that the API itself sets.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from service.dev.simulator import responses
from service.dev.simulator.catalog import EDGES, ENTITIES
from service.dev.simulator.payloads import Refused, Wanted, read_payload
from service.dev.simulator.record import Record, pointers
from service.dev.simulator.responses import Response
from service.dev.simulator.routes import Found, Listing, Single
from service.dev.simulator.schema import Entity, Values
from service.dev.simulator.store import Organisation
from service.dev.simulator.writes import HOUSEHOLD, MEMBERSHIP, PERSON, Writes
from topics.errors import Rejected

METHODS = ("POST", "PATCH", "DELETE")
DEFAULTS: Mapping[str, Values] = {PERSON: {"status": "active", "resource_permission_flags": {}}}


@dataclass(frozen=True, slots=True)
class Written:
    """A record as it is after a write."""

    status: int
    single: Single


def write(org: Organisation, found: Found, method: str, body: bytes, at: datetime) -> Written | Response:
    """Do what a client asks for. The response, where that is no record."""
    try:
        if method == "POST":
            return _create(org, found, body, at)
        if not isinstance(found, Single):
            return responses.NOT_FOUND
        if method == "DELETE":
            return _delete(org, found, at)
        return _change(org, found, body, at)
    except Refused as refused:
        return refused.response
    except Rejected:
        return responses.BAD_PAYLOAD


def _create(org: Organisation, found: Found, body: bytes, at: datetime) -> Written | Response:
    if not isinstance(found, Listing):
        return responses.NOT_FOUND
    entity = found.entity
    is_child = bool(entity.under) and bool(found.scope)
    if "C" not in entity.writes or (found.scope and not is_child and not found.via):
        return responses.FORBIDDEN
    wanted = read_payload(org, entity, body)
    owner = {found.via: found.owner.id} if found.via else _named_by_path(entity, found)
    wanted = Wanted(DEFAULTS.get(entity.name, {}) | wanted.attributes, {**wanted.targets, **owner})
    _check_complete(entity, wanted)
    parent = found.owner.id if entity.under else ""
    return Written(201, Single(entity, _Clerk(org, entity, at).create(parent, wanted)))


def _named_by_path(entity: Entity, found: Listing) -> dict[str, str]:
    """The parent's id as the target of the relationship that repeats the path."""
    return {
        relation.name: found.owner.id for relation in entity.relations if relation.to and relation.to == entity.under
    }


def _change(org: Organisation, found: Single, body: bytes, at: datetime) -> Written | Response:
    if "U" not in found.entity.writes:
        return responses.FORBIDDEN
    wanted = read_payload(org, found.entity, body)
    for name in found.entity.needs:
        if name in wanted.attributes and not wanted.attributes[name]:
            raise Refused.blank(found.entity, name)
    return Written(200, Single(found.entity, _Clerk(org, found.entity, at).change(found.record, wanted)))


def _delete(org: Organisation, found: Single, at: datetime) -> Response:
    if "D" not in found.entity.writes:
        return responses.FORBIDDEN
    Writes(org, at).delete(found.entity, found.record.id)
    return Response(204, b"")


def _check_complete(entity: Entity, wanted: Wanted) -> None:
    for name in entity.needs:
        if not wanted.attributes.get(name):
            raise Refused.blank(entity, name)
    for relation in entity.relations:
        if relation.required and not wanted.targets.get(relation.name):
            raise Refused.blank(entity, relation.name)


@dataclass(frozen=True, slots=True)
class _Clerk:
    """Writes records of one entity, and what the API derives from them."""

    org: Organisation
    entity: Entity
    at: datetime

    def create(self, parent: str, wanted: Wanted) -> Record:
        members = self._members(wanted)
        derived = self._derived(self.entity.struct(), wanted.attributes)
        record = Writes(self.org, self.at).create(self.entity, parent, wanted.attributes | derived, wanted.targets)
        return self._with_members(record, members)

    def change(self, record: Record, wanted: Wanted) -> Record:
        members = self._members(wanted)
        attributes = wanted.attributes | self._derived(record.attributes, wanted.attributes)
        changed = Writes(self.org, self.at).edit(self.entity, record.id, attributes, wanted.targets, is_touched=True)
        return self._with_members(changed, members)

    def _members(self, wanted: Wanted) -> Any:
        """Taken out of what is wanted: a household's persons are kept as memberships."""
        return wanted.targets.pop("people", None) if self.entity.name == HOUSEHOLD else None

    def _derived(self, old: Any, given: Values) -> Values:
        """The attributes that the API sets by others: a person's name, and when one became inactive."""
        if self.entity.name != PERSON:
            return {}
        after = msgspec.structs.asdict(old) | given
        called = after["nickname"] or after["first_name"]
        inactivated_at = after["inactivated_at"]
        if given.get("status") == "inactive" and old.status != "inactive":
            inactivated_at = Writes(self.org, self.at).stamp
        if after["status"] == "active":
            inactivated_at = None
        return {
            "name": " ".join(word for word in (called, after["last_name"]) if word),
            "inactivated_at": inactivated_at,
        }

    def _with_members(self, household: Record, members: Any) -> Record:
        """A household whose memberships are those of these persons: it counts and names them by its memberships."""
        if members is None:
            return household
        writes, entity = Writes(self.org, self.at), ENTITIES[MEMBERSHIP.child]
        known: set[str] = set()
        for one in self.org.children(EDGES[HOUSEHOLD][entity.segment], household.id):
            ids = {pointer.id for pointer in pointers(one, "person")}
            known |= ids & set(members)
            if not ids & set(members):
                writes.delete(entity, one.id)
        for id in dict.fromkeys(members):
            if id not in known:
                person = self.org.records(PERSON)[id].attributes
                role = "child_or_dependent" if person.child else "adult"
                writes.create(
                    entity, household.id, {"household_role": role, "person_name": person.name}, {"person": id}
                )
        return self.org.records(HOUSEHOLD)[household.id]
