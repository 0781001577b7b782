"""The journal's records, read anew: workflows' and their request logs. Pure.

A record is three big-endian 64-bit numbers (epoch, seq, due), then JSON that says the same and more; in a workflow's
record the epoch is called `generation`, the history `trail`. A request log has the key request-log:SLOT:WORKFLOW. A
record without a value takes its key out, and has epoch and seq in a header.

Epochs only grow along a partition: a record of a lower one than some record before it was sent by a process that had
been cut off, and does not count.
"""

import struct
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from typing import Any

import msgspec

from tests.checker.entries import Compared, Entry, Event, RequestLog
from tests.checker.messages import sync_key

HEAD = struct.Struct(">QQQ")
GUARD = struct.Struct(">QQ")
GUARD_HEADER = "sluice-guard"
SOURCE_LOGS = "source-logs"  # the key of a partition's own record: which logs its offsets are of
LOG_PREFIX = "request-log:"
LOG_SLOTS = 8  # a request log holds one day, and takes the place of the one so many days before
FIRST_STATUS = {"sync": "running", "entity": "fetching"}  # what a state without a status is in


class _Child(msgspec.Struct):
    status: str = "waiting"


class _State(Compared, frozen=True, kw_only=True):
    """Both kinds of state."""

    org: str
    adapter: str
    type: str
    entity: str = ""
    error_reason: str = ""
    leases: tuple[list[Any], ...] = ()
    children: dict[str, _Child] = msgspec.field(default_factory=dict)


class _Record(msgspec.Struct, rename={"history": "trail"}):
    generation: int = 0
    seq: int = 0
    due: int = 0
    due_set_at: int = 0
    state: msgspec.Raw = msgspec.Raw(b"null")
    last_offset: dict[str, int] = {}
    seen: list[str] = []
    history: list[list[Any]] = []


class _RequestLog(msgspec.Struct):
    """Each request is [id, TOPIC@OFFSET/TIME, rejection]; the position is empty where no message brought it."""

    epoch: int = 0
    seq: int = 0
    day: int = 0
    requests: list[list[str]] = []


_record = msgspec.json.Decoder(_Record)
_state = msgspec.json.Decoder(_State)
_request_log = msgspec.json.Decoder(_RequestLog)


class Unreadable(Exception):
    """A record of the journal that is none."""


class RecordReader:
    """Reads the journal's records one after the other, and keeps what is said in any of them.

    `events` and `ids` are by workflow: what happened, and which requests were accepted as messages.
    """

    def __init__(self) -> None:
        self.events: defaultdict[str, set[Event]] = defaultdict(set)
        self.ids: defaultdict[str, set[str]] = defaultdict(set)
        self._names: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._histories: dict[tuple[Event, ...], tuple[Event, ...]] = {}
        self._logs: dict[str, RequestLog] = {}  # the last one read, by key

    def read(self, key: str, value: bytes, partition: int, offset: int) -> Entry:
        with _readable(f"{key} (journal {partition}/{offset})"):
            epoch, seq, due = HEAD.unpack_from(value)
            record = _record.decode(memoryview(value)[HEAD.size :])
            state = _state.decode(record.state)
        history = tuple(Event(*event) for event in record.history)
        self.events[key].update(history)
        self.ids[key].update(id_[:16] for id_ in record.seen)
        names = tuple(state.children)
        said = {name: getattr(state, name) for name in Compared.__struct_fields__}
        said["status"] = state.status or FIRST_STATUS.get(state.kind, "")
        said["reason"] = state.error_reason or state.reason
        return Entry(
            **said,
            key=key,
            partition=partition,
            offset=offset,
            epoch=epoch,
            seq=seq,
            due=due,
            due_set_at=record.due_set_at,
            head_agrees=(epoch, seq, due, key) == (record.generation, record.seq, record.due, _key(state)),
            state=blake2b(record.state, digest_size=16).digest(),
            leases=tuple(_lease(lease) for lease in state.leases),
            children=self._names.setdefault(names, names),
            child_statuses=tuple(child.status for child in state.children.values()),
            last_offset=tuple(sorted(record.last_offset.items())),
            history=self._histories.setdefault(history, history),
        )

    def read_log(self, key: str, value: bytes, partition: int, offset: int) -> RequestLog:
        with _readable(f"{key} (journal {partition}/{offset})"):
            head = HEAD.unpack_from(value)
            log = _request_log.decode(memoryview(value)[HEAD.size :])
        slot, _, workflow = key.removeprefix(LOG_PREFIX).partition(":")
        ids = frozenset(id_ for id_, position, *rejection in log.requests if position and not any(rejection))
        found = RequestLog(workflow, partition, log.epoch, log.seq, log.day, ids)
        where = f"{key} (journal {partition}/{offset}, epoch {log.epoch}, seq {log.seq})"
        before = self._logs.get(key)
        if head != (log.epoch, log.seq, 0) or slot != str(log.day % LOG_SLOTS):
            found.faults.append(f"{where}: head, key and content do not agree")
        elif before is not None and (problem := _changed_wrongly(before, found)):
            found.faults.append(f"{where}: {problem}")
        self._logs[key] = found
        self.ids[workflow] |= ids
        return found


@contextmanager
def _readable(where: str) -> Iterator[None]:
    try:
        yield
    except (struct.error, msgspec.MsgspecError) as error:
        raise Unreadable(f"{where} cannot be read: {error}") from None


def _changed_wrongly(before: RequestLog, after: RequestLog) -> str:
    """What one writer must not do: go back, or forget a request of the day."""
    if before.epoch != after.epoch:
        return ""
    if after.seq < before.seq:
        return f"its writer goes back from seq {before.seq}"
    if after.day == before.day and before.ids - after.ids:
        return f"{len(before.ids - after.ids)} requests of its day are forgotten"
    return ""


def _key(state: _State) -> str:
    if state.kind == "entity":
        return f"entity-sync:{state.org}:{state.adapter}:{state.entity}:{state.type}"
    return sync_key(state.org, state.adapter, state.type)


def _lease(lease: list[Any]) -> tuple[int, int, int]:
    """[number, first, units, cursor, attempt, …], what is at its default cut off or not."""
    return lease[0], lease[4] if len(lease) > 4 else 1, lease[1]


def guard_of(value: bytes) -> tuple[int, int]:
    epoch, seq, _ = HEAD.unpack_from(value)
    return epoch, seq


def guard_in(value: bytes | None, headers: Sequence[tuple[str, bytes]]) -> tuple[int, int] | None:
    """Of a whole record; None for one without a value whose headers do not have it."""
    if value is not None:
        return guard_of(value)
    found = next((content for name, content in headers if name == GUARD_HEADER), b"")
    return GUARD.unpack(found) if len(found) == GUARD.size else None


def fold(folded: dict[bytes, bytes], key: bytes, value: bytes | None) -> None:
    """One more record of the journal: the newer guard wins, equal ones replace, None takes the record out."""
    if value is None:
        folded.pop(key, None)
    elif key not in folded or guard_of(value) >= guard_of(folded[key]):
        folded[key] = value
