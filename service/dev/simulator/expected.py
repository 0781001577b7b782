"""Expected content of a complete copy of an organisation, in a form that two sides can compare.

The content hash of an entity is the lower-case hex SHA-256 over, for each record in the order of its id compared as
UTF-8 bytes: the id, a line feed, the record's canonical JSON, a line feed. Canonical JSON is of the keys `id`, `type`,
`attributes` and `relationships` (those that the served record has; reference values have no relationships), as parsed
from a page that was requested without fields, and with the include that is asked for (none, if none is). Of each
relationship only `data` is taken: links name the host. Keys are sorted at every level, without spaces, in unescaped
UTF-8: `msgspec.json.encode(value, order="deterministic")`. Of an entity below a parent, the records of all parents are
taken together.
"""

import hashlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import msgspec

from service.dev.simulator.catalog import ENTITIES
from service.dev.simulator.query import Query
from service.dev.simulator.record import Record
from service.dev.simulator.render import Writer
from service.dev.simulator.schema import Entity
from service.dev.simulator.store import Organisation

CANONICAL_KEYS = ("id", "type", "attributes", "relationships")


def expected(
    org: Organisation,
    names: list[str],
    with_hidden: bool,
    include: Mapping[str, str] | None = None,
    with_ids: bool = False,
) -> dict[str, Any]:
    """Row count and content hash by entity. Without `with_hidden`: of records in unfiltered lists, and below them.

    `include`: what an entity's pages are requested with, by the entity. `with_ids`: their ids as well, in that order.
    """
    found = {name: _entity(org, ENTITIES[name], (include or {}).get(name, ""), with_hidden) for name in names}
    if not with_ids:
        for one in found.values():
            del one["ids"]
    return found


def _entity(org: Organisation, entity: Entity, include: str, with_hidden: bool) -> dict[str, Any]:
    query = Query.parse(urlencode({"include": include} if include else {}))
    writer = Writer(org, "", query, included_when_empty=False)
    digest = hashlib.sha256()
    ids = []
    for id, record in sorted(org.records(entity.name).items(), key=lambda item: item[0].encode()):
        if with_hidden or _is_shown(org, entity, record):
            digest.update(id.encode() + b"\n" + canonical(writer.resource(entity, record)) + b"\n")
            ids.append(id)
    return {"rows": len(ids), "sha256": digest.hexdigest(), "ids": ids}


def canonical(resource: dict[str, Any]) -> bytes:
    kept = {key: resource[key] for key in CANONICAL_KEYS if key in resource}
    if "relationships" in kept:
        kept["relationships"] = {name: {"data": value["data"]} for name, value in kept["relationships"].items()}
    parsed = msgspec.json.decode(msgspec.json.encode(kept))
    return msgspec.json.encode(parsed, order="deterministic")


def _is_shown(org: Organisation, entity: Entity, record: Record) -> bool:
    if entity.hidden_by and getattr(record.attributes, entity.hidden_by) is not None:
        return False
    if not entity.under:
        return True
    parent = org.find(entity.under, record.parent)
    return parent is not None and _is_shown(org, ENTITIES[entity.under], parent)
