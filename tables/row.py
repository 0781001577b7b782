"""The one record per workflow: state, deduplication and position together, since Kafka writes one record atomically.

On disk and in the changelog it is a head of three big-endian 64-bit numbers (generation, seq, due) and JSON. The head
lets recovery compare two versions, and the timer index find a deadline, without decoding the rest.
"""

import struct
from typing import Generic, TypeVar

import msgspec

from topics.errors import Broken

S = TypeVar("S")

ROW_VERSION = 1
REQUEST_IDS_MAX = 128  # ids of outside commands remembered; the oldest is forgotten first
HISTORY_MAX = 16  # notable transitions remembered; the oldest is forgotten first
_HEAD = struct.Struct(">QQQ")
_encode = msgspec.json.Encoder().encode
CLOCK_BITS = 42  # of a generation: Unix ms until 2109; what is left of 63 bits is enough for two million rebalances
GUARD_BYTES = 16  # (generation, seq): the higher one is newer


class HistoryEntry(msgspec.Struct, frozen=True, array_like=True):
    """A notable transition: which seq, when (Unix ms), by which command, and what happened, in words."""

    seq: int
    at: int
    cause: str
    note: str


class Row(msgspec.Struct, Generic[S], frozen=True, omit_defaults=True):
    """All that a workflow remembers.

    `seq` counts the transitions. `last_offset` is the position in each topic up to which events are folded in: an
    event at or below it is a replay. `seen` holds the ids of outside commands, `trail` the last notable transitions.
    """

    version: int = ROW_VERSION
    generation: int = 0
    seq: int = 0
    due: int = 0
    state: S | None = None
    last_offset: dict[str, int] = {}
    seen: tuple[str, ...] = ()
    trail: tuple[HistoryEntry, ...] = ()

    def has_folded(self, topic: str, offset: int | None) -> bool:
        """Whether it is a replay; what has no offset is none."""
        return offset is not None and offset <= self.last_offset.get(topic, -1)

    def with_request(self, command_id: str) -> "Row[S]":
        return msgspec.structs.replace(self, seen=(*self.seen, command_id)[-REQUEST_IDS_MAX:])

    def with_event(self, at: int, cause: str, note: str) -> "Row[S]":
        entry = HistoryEntry(self.seq, at, cause, note)
        return msgspec.structs.replace(self, trail=(*self.trail, entry)[-HISTORY_MAX:])


def encode_row(row: Row[S]) -> bytes:
    return _HEAD.pack(row.generation, row.seq, row.due) + _encode(row)


def decode_row(value: bytes, decoder: msgspec.json.Decoder[Row[S]]) -> Row[S]:
    """The record in `value`. Broken if it was written by a newer version, or is not a record."""
    try:
        row = decoder.decode(memoryview(value)[_HEAD.size :])
    except msgspec.DecodeError as error:
        raise Broken(f"a workflow record cannot be read: {error}") from None
    if row.version > ROW_VERSION:
        raise Broken(
            f"a workflow record has version {row.version}, this program knows {ROW_VERSION}: "
            "finish the upgrade, or go back to the newer release"
        )
    return row


def due_of(value: bytes) -> int:
    """The record's deadline (Unix ms), 0 for none."""
    due: int = _HEAD.unpack_from(value)[2]
    return due


def generation_of(value: bytes) -> int:
    """The generation of an encoded record, without decoding it."""
    generation: int = _HEAD.unpack_from(value)[0]
    return generation


def next_generation(group: int, now_ms: int, newest: int) -> int:
    """The generation of a life that begins now in a group's generation, above the `newest` one in its table.

    The group's number comes first, since no clock can bend it; but it stays the same when a static member comes back,
    so the time follows.
    """
    return max((group << CLOCK_BITS) + now_ms, newest + 1)


def guard_of(value: bytes) -> bytes:
    """What tells an older version of a record from a newer one; compares as bytes."""
    return value[:GUARD_BYTES]
