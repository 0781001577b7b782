"""The journal's identity: a cluster that is built anew, or a topic that is created again, has another one."""

from typing import NamedTuple


class Journal(NamedTuple):
    """By the ids that Kafka gave to the cluster and to the changelog's topic there."""

    cluster_id: str
    topic_id: str

    def __str__(self) -> str:
        return f"cluster {self.cluster_id}, topic {self.topic_id}"
