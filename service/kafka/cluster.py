"""Administration of topics on a cluster. Errors of the client become Retryable or Rejected."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, for_code

from service.kafka.client import ClientArguments
from service.kafka.metadata import NO_OFFSET, LeaderEpochRequest, MetadataRequest
from tables.logs import LogIdentity
from topics.errors import Rejected, Retryable

REQUEST_SECONDS_MAX = 15
CLOSE_SECONDS_MAX = 5
NO_ERROR = 0
TOPIC_EXISTS = 36
NO_LEADER = -1
REFUSED = {29, 31, 37, 38, 40, 44}  # not authorised (topic, cluster), partitions, replication, config, policy


Place = tuple[str, int]  # topic, partition


@dataclass(frozen=True, slots=True)
class FoundTopic:
    """A topic of the cluster. `has_leaders`: every partition can be read and written now. A topic that is deleted and
    created again has another `id`."""

    partitions: int
    has_leaders: bool
    id: str = ""


@dataclass(frozen=True, slots=True)
class FoundCluster:
    """A cluster: its own id, and its topics by name."""

    id: str
    topics: dict[str, FoundTopic]


class Cluster:
    """A connection to a cluster. Every method raises Retryable or Rejected."""

    def __init__(self, admin: AIOKafkaAdminClient) -> None:
        self._admin = admin

    async def describe(self) -> FoundCluster:
        found = await self._metadata(None)
        return FoundCluster(found["cluster_id"] or "", {topic["topic"]: _found(topic) for topic in found["topics"]})

    async def topics(self) -> dict[str, FoundTopic]:
        """All topics by name."""
        return (await self.describe()).topics

    async def find_logs(self, known: Mapping[Place, int | None]) -> dict[Place, LogIdentity]:
        """The identities of logs, each after the leader of this epoch (None: not known)."""
        found = await self._metadata({topic for topic, _ in known})
        logs, asked = {}, defaultdict[int, defaultdict[str, list[tuple[int, int]]]](lambda: defaultdict(list))
        for topic in found["topics"]:
            for partition in topic["partitions"]:
                place = topic["topic"], partition["partition"]
                logs[place] = LogIdentity(topic["topic_id"], partition["leader_epoch"], None)
                if (epoch := known.get(place)) is not None:
                    asked[partition["leader"]][place[0]].append((place[1], epoch))
        if leaderless := sorted(known.keys() - logs.keys()) or asked.get(NO_LEADER):
            raise Retryable(f"partitions are missing or have no leader: {leaderless}")
        ends: dict[Place, int] = {}
        for leader, epochs in asked.items():
            ends |= await self._ends_of_epochs(leader, epochs)
        return {place: logs[place]._replace(kept=ends.get(place)) for place in known}

    async def _metadata(self, topics: Iterable[str] | None) -> dict[str, Any]:
        found: dict[str, Any] = (await self._admin._send_request(MetadataRequest(topics))).to_object()
        return found

    async def _ends_of_epochs(self, leader: int, asked: Mapping[str, list[tuple[int, int]]]) -> dict[Place, int]:
        ends = {}
        response = await self._admin._send_request(LeaderEpochRequest(asked), leader)
        for topic, partitions in response.topics:
            for code, partition, _, end in partitions:
                _raise_for(code, f"the leaders of {topic}/{partition} cannot be read", None)
                if end != NO_OFFSET:
                    ends[topic, partition] = end
        return ends

    async def configs(self, names: Sequence[str]) -> dict[str, dict[str, str]]:
        """The settings of each topic, including the cluster's defaults."""
        resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
        configs: dict[str, dict[str, str]] = {}
        for response in await self._admin.describe_configs(resources) if resources else ():
            for code, message, _, name, entries in response.resources:
                _raise_for(code, f"the settings of topic {name} cannot be read", message)
                configs[name] = {key: value for key, value, *_ in entries}
        return configs

    async def create(self, topics: Sequence[NewTopic]) -> None:
        """Create the topics. One that exists by then is not changed."""
        response = await self._admin.create_topics(list(topics), timeout_ms=REQUEST_SECONDS_MAX * 1000)
        for name, code, message in response.topic_errors:
            if code != TOPIC_EXISTS:
                _raise_for(code, f"topic {name} could not be created", message)


@asynccontextmanager
async def open_cluster(arguments: ClientArguments) -> AsyncIterator[Cluster]:
    """A connection for a few requests. Retryable if no broker accepts it; the error contains the client's reason."""
    servers = ", ".join(arguments["bootstrap_servers"])
    admin = AIOKafkaAdminClient(**arguments, request_timeout_ms=REQUEST_SECONDS_MAX * 1000)
    try:
        await _connect(admin, servers)
        yield Cluster(admin)
    except KafkaError as error:
        raise Retryable(f"a request to Kafka at {servers} failed: {error}") from error
    except TimeoutError:
        raise Retryable(f"Kafka at {servers} did not answer within {REQUEST_SECONDS_MAX} s") from None
    finally:
        await asyncio.wait_for(admin.close(), CLOSE_SECONDS_MAX)


async def answers(bootstrap: str) -> bool:
    """Whether a broker without authentication listens at HOST:PORT and lists its topics."""
    host, _, port = bootstrap.rpartition(":")
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(host, int(port)), REQUEST_SECONDS_MAX)
        writer.close()
        await writer.wait_closed()
        async with open_cluster(ClientArguments(bootstrap_servers=[bootstrap], security_protocol="PLAINTEXT")) as found:
            await found.topics()
    except (OSError, Retryable):
        return False
    return True


class _Reasons(logging.Handler):
    """Keeps the reason of a failed connection, which the client only logs."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.last = "the client gave no reason"

    def emit(self, record: logging.LogRecord) -> None:
        self.last = record.getMessage()


async def _connect(admin: AIOKafkaAdminClient, servers: str) -> None:
    reasons, log = _Reasons(), logging.getLogger("aiokafka")
    log.addHandler(reasons)
    try:
        await admin.start()
    except KafkaError:
        raise Retryable(
            f"no Kafka broker accepted a connection at {servers} ({reasons.last}): start it (`sluice kafka up` "
            "starts the embedded one), or correct the SLUICE_KAFKA_ settings"
        ) from None
    finally:
        log.removeHandler(reasons)


def _found(topic: dict[str, Any]) -> FoundTopic:
    partitions = topic["partitions"]
    codes = [topic["error_code"], *(partition["error_code"] for partition in partitions)]
    return FoundTopic(len(partitions), all(code == NO_ERROR for code in codes), topic["topic_id"])


def _raise_for(code: int, failure: str, message: str | None) -> None:
    if code == NO_ERROR:
        return
    sentence = f"{failure}: {message or for_code(code).__name__}"
    raise Rejected(sentence) if code in REFUSED else Retryable(sentence)
