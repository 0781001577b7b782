"""Kafka's Metadata request in the version with the topics' ids (KIP-516, brokers from 2.8 on), which aiokafka lacks."""

from base64 import urlsafe_b64encode
from io import BytesIO

from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    AbstractType,
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

ID_BYTES = 16
NO_ID = bytes(ID_BYTES)


class TopicId(AbstractType[str]):  # type: ignore[misc]  # aiokafka has no types
    """A UUID as Kafka's tools print it; empty where the broker has none."""

    @classmethod
    def encode(cls, value: str) -> bytes:
        raise NotImplementedError("topics are asked for all together, not by their ids")

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
    """Of all topics: a request for single names could make the broker create them."""

    FLEXIBLE_VERSION = True
    API_KEY = 3
    API_VERSION = 10
    RESPONSE_TYPE = MetadataResponse_v10
    SCHEMA = Schema(
        ("topics", CompactArray(CompactString("utf-8"))),  # None: all; nothing else is sent
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class MetadataRequest(Request[MetadataRequest_v10]):  # type: ignore[misc]  # as above
    API_KEY = 3

    def build(self, request_struct_class: type[MetadataRequest_v10]) -> MetadataRequest_v10:
        return request_struct_class(None, False, False, False, {})
