"""Keys and ids. All are computed from what they name, so that a decision made twice names the same things."""

import re
from dataclasses import dataclass
from hashlib import blake2b
from struct import Struct

from topics.errors import Rejected

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
_NAME = re.compile(NAME_PATTERN)
_length = Struct(">I").pack


def derive_id(*parts: str) -> str:
    """128 bits over the length-prefixed parts, as 32 hex digits: ("ab", "c") and ("a", "bc") differ."""
    framed = b""
    for part in parts:
        data = part.encode()
        framed += _length(len(data)) + data
    return blake2b(framed, digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class KeyPattern:
    """The keys of one kind of workflow: `main-sync:{org}:{adapter}:{type}` is KeyPattern("main-sync", (org, …))."""

    kind: str
    names: tuple[str, ...]

    def __str__(self) -> str:
        return ":".join((self.kind, *(f"{{{name}}}" for name in self.names)))

    def key(self, *values: str) -> str:
        return ":".join((self.kind, *values))

    def parse(self, key: str) -> dict[str, str]:
        """The names in a key of this kind; Rejected for any other key."""
        kind, *values = key.split(":")
        if kind != self.kind or len(values) != len(self.names):
            raise Rejected(f"workflow key {key!r} is not of the form {self}")
        if any(not _NAME.fullmatch(value) for value in values):
            raise Rejected(f"workflow key {key!r} holds a name outside {NAME_PATTERN}")
        return dict(zip(self.names, values, strict=True))


def kind_of(key: str) -> str:
    """The kind of workflow that a key names."""
    return key.partition(":")[0]


def connection_key(org: str, adapter: str) -> str:
    """An organisation's connection to one API: everything with this key shares one rate limit."""
    return f"{org}/{adapter}"


def partition_key(key: str) -> str:
    """The part of a key that decides its partition.

    A workflow key of the form KIND:ORG:ADAPTER:… has the partition of its connection, so that a sync, its entities and
    the pages fetched for them share one; any other key has its own.
    """
    parts = key.split(":", 3)
    return connection_key(parts[1], parts[2]) if len(parts) == 4 else key


def message_name(topic: str, partition: int, offset: int, at: int) -> str:
    """The name of a message that stands there since `at` (Unix ms, the broker's clock).

    The time is part of it: a topic that is created again has the same offsets with other messages.
    """
    return f"{topic}/{partition}/{offset}/{at}"


def run_id(key: str, number: int) -> str:
    """`main-sync:acme:pco:full@1763747915123`: unique for ever, and a person can read whose it is."""
    return f"{key}@{number}"
