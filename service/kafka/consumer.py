"""A member of a consumer group, as every consumer of ours is one: static, committing by hand, quick to be missed."""

from aiokafka import AIOKafkaConsumer

from service.kafka.client import ClientArguments
from topics.catalog import FETCH_WAIT_MS

SESSION_TIMEOUT_MS = 10_000  # a member that says nothing for so long has lost its partitions
HEARTBEAT_MS = 2_000
MAX_POLL_INTERVAL_MS = 3_600_000


def group_member(client: ClientArguments, group: str, name: str) -> AIOKafkaConsumer:
    """A consumer that is not started and subscribes to nothing yet. `name` is its static membership."""
    return AIOKafkaConsumer(
        **client,
        group_id=group,
        group_instance_id=name,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        session_timeout_ms=SESSION_TIMEOUT_MS,
        heartbeat_interval_ms=HEARTBEAT_MS,
        max_poll_interval_ms=MAX_POLL_INTERVAL_MS,
        fetch_max_wait_ms=FETCH_WAIT_MS,
    )
