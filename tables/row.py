"""The record of a workflow: state, deduplication and position in one, since Kafka writes one record atomically.

On disk and in the changelog it is a head of three big-endian 64-bit numbers (epoch, seq, due) and JSON. The head lets
recovery compare two versions of a record without decoding the rest.
"""

import struct
from typing import Generic, TypeVar

import msgspec

from topics.errors import Broken

S = TypeVar("S")

ROW_VERSION = 1
HISTORY_MAX = 16  # notable transitions that are kept; the oldest goes first
HEAD = struct.Struct(">QQQ")
GUARD = struct.Struct(">QQ")  # its first two, (epoch, seq): the higher one is newer
CLOCK_BITS = 42  # of an epoch: Unix ms until 2109; the rest of 63 bits is enough for two million rebalances
_encode = msgspec.json.Encoder().encode


class HistoryEntry(msgspec.Struct, frozen=True, array_like=True):
    """A notable transition: its seq, when (Unix ms), the id of the command that caused it, what happened in words.

    Where a request from outside was accepted: its `request_id`, and the number of the `run` that it started or was
    attached to (0: it waits for one).
    """

    seq: int
    at: int
    cause: str
    event: str
    request_id: str = ""
    run: int = 0


class Row(
    msgspec.Struct,
    Generic[S],
    frozen=True,
    omit_defaults=True,
    rename={"epoch": "generation", "history": "trail", "request_ids": "seen"},
):
    """All that a workflow remembers.

    `epoch` is the life of the worker that wrote it, `seq` counts the transitions. `due` is its deadline, `due_set_at`
    when that was set (Unix ms on the broker's clock, 0 for none). `last_offset` is the position in each topic up to
    which events are folded in, `incarnation` that of the partition's logs when the last one was (tables.logs): an event
    at or below it, of the same log, is a replay. `request_ids` are those that an older program kept here; newer ones
    are in the request log (tables.requests). `history` holds the last notable transitions.
    """

    version: int = ROW_VERSION
    epoch: int = 0
    seq: int = 0
    due: int = 0
    due_set_at: int = 0
    state: S | None = None
    last_offset: dict[str, int] = {}
    incarnation: int = 0
    request_ids: tuple[str, ...] = ()
    history: tuple[HistoryEntry, ...] = ()

    def with_event(self, entry: HistoryEntry) -> "Row[S]":
        return msgspec.structs.replace(self, history=(*self.history, entry)[-HISTORY_MAX:])


class Deadline(msgspec.Struct, frozen=True):
    """A workflow's deadline and when it was set: the part of a record that timers need. 0 is none."""

    due: int = 0
    due_set_at: int = 0


_deadline = msgspec.json.Decoder(Deadline).decode


def encode_row(row: Row[S]) -> bytes:
    return HEAD.pack(row.epoch, row.seq, row.due) + _encode(row)


def decode_row(value: bytes, decoder: msgspec.json.Decoder[Row[S]]) -> Row[S]:
    """The record in `value`. Broken if it was written by a newer version, or is not a record."""
    try:
        row = decoder.decode(memoryview(value)[HEAD.size :])
    except msgspec.DecodeError as error:
        raise Broken(f"a workflow record cannot be read: {error}") from None
    if row.version > ROW_VERSION:
        raise Broken(
            f"a workflow record has version {row.version}, this program knows {ROW_VERSION}: "
            "finish the upgrade, or go back to the newer release"
        )
    return row


def deadline_of(value: bytes) -> Deadline | None:
    """The deadline in an encoded record, None if it has none."""
    due: int = HEAD.unpack_from(value)[2]
    return _deadline(memoryview(value)[HEAD.size :]) if due else None


def next_epoch(generation: int, now_ms: int, newest: int) -> int:
    """The epoch of a worker's life that begins now in a generation of its group, above the `newest` of its changelog.

    The group's generation comes first, since no clock can change it; but it stays the same when a static member comes
    back, so the time follows.
    """
    return max((generation << CLOCK_BITS) + now_ms, newest + 1)


def guard_of(value: bytes) -> bytes:
    """The (epoch, seq) of an encoded record; compares as bytes."""
    return value[: GUARD.size]
