"""Kafka's requests about the identity of logs, which aiokafka lacks: topics' ids (KIP-516, brokers from 2.8 on), and
where the records of a leader end (KIP-320).
"""

from base64 import urlsafe_b64encode
from collections.abc import Iterable, Mapping, Sequence
from io import BytesIO
from typing import Any

from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    AbstractType,
    Array,
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Int64,
    Schema,
    String,
    TaggedFields,
)

ID_BYTES = 16
NO_ID = bytes(ID_BYTES)
ANY_EPOCH = -1
NO_OFFSET = -1


class TopicId(AbstractType[str]):  # type: ignore[misc]  # aiokafka has no types
    """A UUID as Kafka's tools print it; empty where the broker has none."""

    @classmethod
    def encode(cls, value: str) -> bytes:
        return NO_ID  # topics are asked for by their names

    @classmethod
    def decode(cls, data: BytesIO) -> str:
        raw = data.read(ID_BYTES)
        return "" if raw == NO_ID else urlsafe_b64encode(raw).decode().rstrip("=")


class MetadataResponse_v10(Response):  # type: ignore[misc]  # noqa: N801  # aiokafka has no types; its naming
    API_KEY = 3
    API_VERSION = 10
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString("utf-8")),
                ("port", Int32),
                ("rack", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("topic", CompactString("utf-8")),
                ("topic_id", TopicId),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_authorized_operations", Int32),
        ("tags", TaggedFields),
    )


class MetadataRequest_v10(RequestStruct):  # type: ignore[misc]  # noqa: N801  # as above
    FLEXIBLE_VERSION = True
    API_KEY = 3
    API_VERSION = 10
    RESPONSE_TYPE = MetadataResponse_v10
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(("topic_id", TopicId), ("topic", CompactString("utf-8")), ("tags", TaggedFields)),
        ),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class MetadataRequest(Request[MetadataRequest_v10]):  # type: ignore[misc]  # as above
    """Of these topics, or of all. None is created."""

    API_KEY = 3

    def __init__(self, topics: Iterable[str] | None = None) -> None:
        self._topics = topics

    def build(self, request_struct_class: type[MetadataRequest_v10]) -> MetadataRequest_v10:
        topics: list[Any] | None = None if self._topics is None else [("", name, {}) for name in self._topics]
        return request_struct_class(topics, False, False, False, {})


class LeaderEpochResponse_v2(Response):  # type: ignore[misc]  # noqa: N801  # as above
    API_KEY = 23
    API_VERSION = 2
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "topics",
            Array(
                ("topic", String("utf-8")),
                (
                    "partitions",
                    Array(("error_code", Int16), ("partition", Int32), ("leader_epoch", Int32), ("end_offset", Int64)),
                ),
            ),
        ),
    )


class LeaderEpochRequest_v2(RequestStruct):  # type: ignore[misc]  # noqa: N801  # as above
    API_KEY = 23
    API_VERSION = 2
    RESPONSE_TYPE = LeaderEpochResponse_v2
    SCHEMA = Schema(
        (
            "topics",
            Array(
                ("topic", String("utf-8")),
                ("partitions", Array(("partition", Int32), ("current_leader_epoch", Int32), ("leader_epoch", Int32))),
            ),
        ),
    )


class LeaderEpochRequest(Request[LeaderEpochRequest_v2]):  # type: ignore[misc]  # as above
    """Where the records of leaders up to this epoch end, by topic: a partition and an epoch each."""

    API_KEY = 23

    def __init__(self, asked: Mapping[str, Sequence[tuple[int, int]]]) -> None:
        self._asked = asked

    def build(self, request_struct_class: type[LeaderEpochRequest_v2]) -> LeaderEpochRequest_v2:
        return request_struct_class(
            [
                (topic, [(partition, ANY_EPOCH, epoch) for partition, epoch in partitions])
                for topic, partitions in self._asked.items()
            ]
        )
