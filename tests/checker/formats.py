"""The formats on Kafka, read anew: the journal's records, page-done, ids, dead letters' headers. Pure.

From docs/reference/topics.md: commands are JSON objects, fields at their defaults may be missing. A record of the
journal is three big-endian 64-bit numbers (generation, seq, due), then JSON that says the same and more.
"""

import struct
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import msgspec

from tests.checker.entries import Entry
from tests.checker.evidence import Letter, Origin, Told

HEAD = struct.Struct(">QQQ")
LETTER_HEADER = "sluice-dead-"
ID_HEADER = "sluice-id"
NO_JSON = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
FIRST_STATUS = {"sync": "running", "entity": "fetching"}  # what a state without a status is in


class _Child(msgspec.Struct):
    status: str = "waiting"


class _State(msgspec.Struct):
    """Both kinds of state; of each only what is compared."""

    kind: str
    org: str
    adapter: str
    type: str
    run: int
    entity: str = ""
    status: str = ""
    reason: str = ""
    error_reason: str = ""
    request: str = ""
    parent: str = ""
    parent_run: int = 0
    fenced: int = 0
    units: int = 0
    pages: int = 0
    records: int = 0
    rejected: int = 0
    leases: list[list[Any]] = []
    children: dict[str, _Child] = {}


class _Record(msgspec.Struct):
    generation: int = 0
    seq: int = 0
    due: int = 0
    state: msgspec.Raw = msgspec.Raw(b"null")
    last_offset: dict[str, int] = {}
    seen: list[str] = []
    trail: list[list[Any]] = []


class _Told(msgspec.Struct):
    workflow: str
    run: int
    lease: int
    units: int
    pages: int
    records: int
    attempt: int = 1
    first: int | None = None
    rejected: int = 0


_record = msgspec.json.Decoder(_Record)
_state = msgspec.json.Decoder(_State)
_told = msgspec.json.Decoder(_Told)


class Unreadable(Exception):
    """A record of the journal that is none."""


class RecordReader:
    """Reads the journal's records one after the other, and keeps what is said in any of them."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self.causes: set[str] = set()
        self._names: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._trails: dict[tuple[tuple[int, str], ...], tuple[tuple[int, str], ...]] = {}

    def read(self, key: str, value: bytes, partition: int, offset: int) -> Entry:
        try:
            head = HEAD.unpack_from(value)
            record = _record.decode(memoryview(value)[HEAD.size :])
            state = _state.decode(record.state)
        except (struct.error, msgspec.MsgspecError) as error:
            raise Unreadable(f"{key} (journal {partition}/{offset}) cannot be read: {error}") from None
        self.seen.update(record.seen)
        trail = tuple((int(entry[0]), str(entry[2])) for entry in record.trail)
        self.causes.update(cause for _, cause in trail)
        names = tuple(state.children)
        return Entry(
            key=key,
            partition=partition,
            offset=offset,
            generation=head[0],
            seq=head[1],
            due=head[2],
            head_agrees=head == (record.generation, record.seq, record.due) and key == _key(state),
            state=blake2b(record.state, digest_size=16).digest(),
            kind=state.kind,
            status=state.status or FIRST_STATUS.get(state.kind, ""),
            reason=state.error_reason or state.reason,
            run=state.run,
            request=state.request,
            parent=state.parent,
            parent_run=state.parent_run,
            fenced=state.fenced,
            units=state.units,
            pages=state.pages,
            records=state.records,
            rejected=state.rejected,
            leases=tuple(_lease(lease) for lease in state.leases),
            children=self._names.setdefault(names, names),
            child_statuses=tuple(child.status for child in state.children.values()),
            last_offset=tuple(sorted(record.last_offset.items())),
            trail=self._trails.setdefault(trail, trail),
        )


def _key(state: _State) -> str:
    if state.kind == "entity":
        return f"entity-sync:{state.org}:{state.adapter}:{state.entity}:{state.type}"
    return sync_key(state.org, state.adapter, state.type)


def _lease(lease: list[Any]) -> tuple[int, int, int]:
    """[number, first, units, cursor, attempt, …], what is at its default cut off or not."""
    return lease[0], lease[4] if len(lease) > 4 else 1, lease[1]


def sync_key(org: str, adapter: str, type_: str) -> str:
    return f"main-sync:{org}:{adapter}:{type_}"


def tombstone(key: str, partition: int, offset: int) -> Entry:
    return Entry(key, partition, offset, 0, 0, is_tombstone=True)


def guard_of(value: bytes) -> tuple[int, int]:
    generation, seq, _ = HEAD.unpack_from(value)
    return generation, seq


def fold(folded: dict[bytes, bytes], key: bytes, value: bytes | None) -> None:
    """One more record of the journal: the newer guard wins, equal ones replace, None takes the record out."""
    if value is None:
        folded.pop(key, None)
    elif key not in folded or guard_of(value) >= guard_of(folded[key]):
        folded[key] = value


def told_in(value: bytes | None) -> Told | None:
    """The page-done in a message; None if it is none."""
    try:
        told = _told.decode(value or b"")
    except NO_JSON:
        return None
    return Told(
        told.workflow,
        told.run,
        told.lease,
        told.attempt,
        told.first,
        told.units,
        told.pages,
        told.records,
        told.rejected,
    )


def document(value: bytes | None) -> dict[str, Any]:
    """The JSON object in a message; empty if there is none."""
    try:
        found = msgspec.json.decode(value or b"")
    except NO_JSON:
        return {}
    return found if isinstance(found, dict) else {}


def workflow_of(topic: str, value: bytes | None) -> str:
    """Whom a message of a control topic is for; "" if it says so to nobody."""
    found = document(value)
    if topic == "start-sync":
        names = [found.get(name) for name in ("org", "adapter", "type")]
        return sync_key(*map(str, names)) if all(isinstance(name, str) for name in names) else ""
    return str(found.get("workflow", ""))


def derived_id(*parts: str) -> str:
    """BLAKE2b, 128 bits, over the parts, each behind its length as a big-endian 32-bit number; 32 hex digits."""
    digest = blake2b(digest_size=16)
    for part in parts:
        data = part.encode()
        digest.update(len(data).to_bytes(4, "big") + data)
    return digest.hexdigest()


def start_id(origin: Origin, value: bytes | None) -> str | None:
    """The id of a start-sync at `origin`; without a request id, the message itself is the request."""
    key = workflow_of("start-sync", value)
    request = document(value).get("request_id") or "/".join(map(str, origin))
    return derived_id("start-sync", key, str(request)) if key else None


def letter(
    partition: int, offset: int, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes | None]]
) -> Letter:
    """A record of the dead-letter topic."""
    said = {name.removeprefix(LETTER_HEADER): (content or b"").decode(errors="replace") for name, content in headers}
    origin = (said.get("topic", ""), _number(said.get("partition")), _number(said.get("offset")))
    return Letter(partition, offset, origin, said.get("reason", ""), key, value, _forwarded(value))


def _number(text: str | None) -> int:
    return int(text) if text and text.isdigit() else -1


def _forwarded(value: bytes | None) -> Origin | None:
    """A start that was sent on to the partition of its workflow carries where it stood first as its request id."""
    topic, *numbers = str(document(value).get("request_id") or "").split("/")
    if len(numbers) == 2 and all(number.isdigit() for number in numbers):
        return topic, int(numbers[0]), int(numbers[1])
    return None
