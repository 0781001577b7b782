"""Keys and ids. All are computed from what they name, so that a decision made twice names the same things."""

import re
from hashlib import blake2b
from struct import Struct
from typing import NamedTuple

from topics.errors import Rejected

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
_NAME = re.compile(NAME_PATTERN)
_length = Struct(">I").pack


class WorkflowKey(NamedTuple):
    """A workflow key taken apart; `entity` is empty for a main sync."""

    kind: str
    org: str
    adapter: str
    entity: str
    type: str


def derive_id(*parts: str) -> str:
    """128 bits over the length-prefixed parts, as 32 hex digits: ("ab", "c") and ("a", "bc") differ."""
    framed = b""
    for part in parts:
        data = part.encode()
        framed += _length(len(data)) + data
    return blake2b(framed, digest_size=16).hexdigest()


def sync_key(org: str, adapter: str, type_: str) -> str:
    return f"main-sync:{org}:{adapter}:{type_}"


def entity_key(org: str, adapter: str, entity: str, type_: str) -> str:
    return f"entity-sync:{org}:{adapter}:{entity}:{type_}"


def parse_key(key: str) -> WorkflowKey:
    """The inverse of `sync_key` and `entity_key`; Rejected for anything else."""
    kind, *names = key.split(":")
    if any(not _NAME.fullmatch(name) for name in names):
        raise Rejected(f"workflow key {key!r} holds a name outside {NAME_PATTERN}")
    match kind, names:
        case "main-sync", [org, adapter, type_]:
            return WorkflowKey(kind, org, adapter, "", type_)
        case "entity-sync", [org, adapter, entity, type_]:
            return WorkflowKey(kind, org, adapter, entity, type_)
    raise Rejected(
        f"workflow key {key!r} is neither main-sync:ORG:ADAPTER:TYPE nor entity-sync:ORG:ADAPTER:ENTITY:TYPE"
    )


def connection_key(org: str, adapter: str) -> str:
    """What shares one rate limit."""
    return f"{org}/{adapter}"


def partition_key(key: str) -> str:
    """What decides a key's partition: of a workflow its connection, so that a sync, its entities and what is fetched
    for them lie together; anything else stands for itself.
    """
    parts = key.split(":", 3)
    return connection_key(parts[1], parts[2]) if len(parts) == 4 else key


def run_id(key: str, number: int) -> str:
    """`main-sync:acme:pco:full@1763747915123`: unique for ever, and a person can read whose it is."""
    return f"{key}@{number}"
