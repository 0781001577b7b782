"""The logs that the offsets of a partition are of. Pure.

An offset names a message only together with its log. A topic that was deleted and created again is another log, and so
is one that lost its end (an unclean election, a lost disk): the same offsets come again, with other messages.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeVar

import msgspec

from tables.row import HEAD, Row
from topics.errors import Broken

S = TypeVar("S")

KEY = b"source-logs"  # the table's key of the record, one in each partition


class LogIdentity(NamedTuple):
    """Which log it is. `topic_id` is Kafka's own id of the topic, empty where it is not known; `leader_epoch` counts
    the partition's leaders; `kept` is the end of what it has of the leaders up to the one that was known before (None:
    not known).
    """

    topic_id: str
    leader_epoch: int | None
    kept: int | None


UNKNOWN_LOG = LogIdentity("", None, None)


class FoundLog(NamedTuple):
    """A topic's log in one partition as the broker shows it: from `begin` to `end`, the offset of the next record. The
    others as of LogIdentity."""

    topic_id: str
    begin: int
    end: int
    leader_epoch: int | None = None
    kept: int | None = None


def is_another_topic(topic_id: str, found: str) -> bool:
    """Whether a topic was created again. An id that is not known, then or now, says nothing."""
    return bool(topic_id and found) and topic_id != found


def is_another_log(topic_id: str, reached: int, found: FoundLog) -> bool:
    """Whether the log found is not the one that was read up to the offset `reached` (the next one, 0 for nothing)."""
    is_cut = found.end < reached or (found.kept is not None and found.kept < reached)
    return is_cut or is_another_topic(topic_id, found.topic_id)


class SourceLog(msgspec.Struct, frozen=True, omit_defaults=True):
    """`since`: the incarnation of the partition's logs that began with this one."""

    topic_id: str = ""
    since: int = 0
    leader_epoch: int | None = None


class SourceLogs(msgspec.Struct, frozen=True, omit_defaults=True):
    """The logs of one partition, by topic: a record of the table beside the workflows'. Read as one of those, it has no
    state.

    `incarnation` grows by one whenever one of them is found to be another: offsets that were noted in an incarnation
    before a log's `since` are not of that log. `epoch` and `seq` as of a workflow.
    """

    version: int = 1
    epoch: int = 0
    seq: int = 0
    incarnation: int = 0
    logs: dict[str, SourceLog] = {}

    def since(self, topic: str) -> int:
        return self.log(topic).since

    def log(self, topic: str) -> SourceLog:
        return self.logs.get(topic, SourceLog())

    def has_folded(self, row: Row[S], topic: str, offset: int | None) -> bool:
        """Whether the event is a replay for the workflow; one without an offset never is."""
        if offset is None or self.since(topic) > row.incarnation:
            return False
        return offset <= row.last_offset.get(topic, -1)

    def folding(self, row: Row[S], topic: str, offset: int | None) -> Row[S]:
        """The workflow's record with the event's offset noted; offsets of logs that are gone are forgotten."""
        if offset is None:
            return row
        known = row.last_offset
        if row.incarnation != self.incarnation:
            known = {name: last for name, last in known.items() if self.since(name) <= row.incarnation}
        positions = {**known, topic: offset}
        return msgspec.structs.replace(row, last_offset=positions, incarnation=self.incarnation)

    def reached(self, values: Iterable[bytes]) -> dict[str, int]:
        """Of each topic's log the offset behind the last event that is folded in any of the workflows' records."""
        reached: dict[str, int] = {}
        for value in values:
            noted = _NOTED(memoryview(value)[HEAD.size :])
            for topic, offset in noted.last_offset.items():
                if offset >= reached.get(topic, 0) and self.since(topic) <= noted.incarnation:
                    reached[topic] = offset + 1
        return reached

    def finding(self, topic: str, found: FoundLog, reached: int) -> "SourceLogs":
        """With the log that was found for a topic whose log was read up to `reached`; the same if nothing changes."""
        known = self.log(topic)
        is_another = is_another_log(known.topic_id, reached, found)
        incarnation = self.incarnation + is_another
        leader_epoch = known.leader_epoch if found.leader_epoch is None else found.leader_epoch
        log = SourceLog(found.topic_id or known.topic_id, incarnation if is_another else known.since, leader_epoch)
        if log == known:
            return self
        logs = {**self.logs, topic: log}
        return msgspec.structs.replace(self, seq=self.seq + 1, incarnation=incarnation, logs=logs)


class FirstRecord(NamedTuple):
    """The record by which an owner of the partition begins its epoch, as the changelog has it: the logs, put again."""

    value: bytes
    offset: int
    key: bytes = KEY
    headers: Sequence[tuple[str, bytes | None]] = ()

    @property
    def epoch(self) -> int:
        return decode_logs(self.value).epoch


class _Noted(msgspec.Struct):
    """The part of a workflow's record that says where it stands."""

    last_offset: dict[str, int] = {}
    incarnation: int = 0


_NOTED = msgspec.json.Decoder(_Noted).decode
_ENCODE = msgspec.json.Encoder().encode
_DECODE = msgspec.json.Decoder(SourceLogs).decode


def encode_logs(logs: SourceLogs) -> bytes:
    return HEAD.pack(logs.epoch, logs.seq, 0) + _ENCODE(logs)


def decode_logs(value: bytes) -> SourceLogs:
    """The logs in `value`; Broken if it is none."""
    try:
        return _DECODE(memoryview(value)[HEAD.size :])
    except msgspec.DecodeError as error:
        raise Broken(f"the record of a partition's logs cannot be read: {error}") from None


def under(value: bytes | None, epoch: int) -> bytes:
    """The logs in `value` (None: none are known), put under this epoch."""
    known = SourceLogs() if value is None else decode_logs(value)
    return encode_logs(msgspec.structs.replace(known, epoch=epoch))
