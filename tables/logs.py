"""The logs that the offsets of a partition are of. Pure.

An offset names a message only together with its log. A topic that was deleted and created again is another log, and so
is one that lost its end (an unclean election, a lost disk): the same offsets come again, with other messages.
"""

from typing import NamedTuple

import msgspec

from tables.row import HEAD
from topics.errors import Broken

KEY = b"source-logs"  # the table's key of the record, one in each partition


class FoundLog(NamedTuple):
    """A topic's log in one partition as the broker shows it: from `begin` to `end`, the offset of the next record.

    `topic_id` is Kafka's own id of the topic, empty where it is not known.
    """

    topic_id: str
    begin: int
    end: int


def is_another_log(topic_id: str, reached: int, found: FoundLog) -> bool:
    """Whether the log found is not the one that was read up to the offset `reached` (the next one, 0 for nothing).

    A topic id that is not known, then or now, says nothing.
    """
    is_another_topic = bool(topic_id and found.topic_id) and topic_id != found.topic_id
    return is_another_topic or found.end < reached


class SourceLog(msgspec.Struct, frozen=True, omit_defaults=True):
    """`since`: the incarnation of the partition's logs that began with this one."""

    topic_id: str
    since: int = 0


class SourceLogs(msgspec.Struct, frozen=True, omit_defaults=True):
    """The logs of one partition, by topic.

    `incarnation` grows by one whenever one of them is found to be another: offsets that were noted in an incarnation
    before a log's `since` are not of that log. `epoch` and `seq` as of a workflow.
    """

    version: int = 1
    epoch: int = 0
    seq: int = 0
    incarnation: int = 0
    logs: dict[str, SourceLog] = {}

    def since(self, topic: str) -> int:
        log = self.logs.get(topic)
        return log.since if log else 0

    def finding(self, topic: str, found: FoundLog, reached: int) -> "SourceLogs":
        """With the log that was found for a topic whose log was read up to `reached`; the same if nothing changes."""
        known = self.logs.get(topic, SourceLog(""))
        if is_another_log(known.topic_id, reached, found):
            begun = self.incarnation + 1
            return self._with(topic, SourceLog(found.topic_id or known.topic_id, begun), begun)
        if found.topic_id and found.topic_id != known.topic_id:
            return self._with(topic, SourceLog(found.topic_id, known.since), self.incarnation)
        return self

    def _with(self, topic: str, log: SourceLog, incarnation: int) -> "SourceLogs":
        return msgspec.structs.replace(self, seq=self.seq + 1, incarnation=incarnation, logs={**self.logs, topic: log})


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
