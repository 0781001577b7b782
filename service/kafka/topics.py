"""Topics of the catalogue on a cluster: created where missing, and checked before a process uses them."""

import asyncio
from collections.abc import Awaitable, Callable, Container, Mapping
from dataclasses import dataclass
from typing import TypeVar

from aiokafka.admin import NewTopic

from service.clock import Clock
from service.kafka.client import client_arguments
from service.kafka.cluster import Cluster, FoundTopic, open_cluster
from service.kafka.journal import Journal
from service.settings import Settings
from topics.catalog import CHANGELOG, DAY_MS, HOUR_MS, Catalog, TopicSpec
from topics.errors import Rejected, Retryable

READY_SECONDS_MAX = 30  # for the election of leaders after the start of a cluster or the creation of a topic
POLL_SECONDS = 0.3
MINUTE_MS = 60_000

JOURNAL_CONFIG = {
    # Recovery reads the journal from its start: small segments and early compaction keep it short.
    "segment.bytes": str(64 * 1024 * 1024),
    "segment.ms": str(HOUR_MS),
    "min.cleanable.dirty.ratio": "0.2",
    # A process that was cut off may append an old record after one of its successor, which puts its own behind it
    # within seconds (agents.faust.tail). Until then, and while no worker runs, compaction must leave both.
    "min.compaction.lag.ms": str(10 * MINUTE_MS),
    # As long as commands are kept: a reader of the journal that was stopped for a week still sees each removal.
    "delete.retention.ms": str(7 * DAY_MS),
}

CHECKED = {
    "cleanup.policy": "another policy deletes records that are needed, or keeps all old ones",
    "message.timestamp.type": "deciders use the broker's clock, not the clocks of senders",
}

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class TopicState:
    """A topic of the catalogue and its state on the cluster, where `found` is None if it is missing."""

    spec: TopicSpec
    found: FoundTopic | None
    config: Mapping[str, str]

    @property
    def partitions(self) -> int | None:
        return self.found.partitions if self.found else None


def wanted_topics(settings: Settings, catalog: Catalog) -> tuple[NewTopic, ...]:
    """Every topic of the catalogue with the settings for its creation."""
    in_sync = {"min.insync.replicas": str(max(1, settings.replication - 1))}
    own: Mapping[str, Mapping[str, str]] = {
        "journal": JOURNAL_CONFIG,
        "dead": {"retention.ms": str(settings.dead_letters_days * DAY_MS)},
    }
    return tuple(
        NewTopic(
            spec.name,
            settings.partitions,
            settings.replication,
            topic_configs={**spec.config, **own.get(spec.plane, {}), **in_sync},
        )
        for spec in catalog.topics
    )


async def ensure_topics(settings: Settings, clock: Clock, catalog: Catalog) -> tuple[str, ...]:
    """Create the topics that are missing, then check all; return the names of the created ones.

    Rejected: a line for each problem. Retryable: the cluster cannot be reached, or is not ready READY_SECONDS_MAX after
    the connection.
    """
    created: dict[str, None] = {}

    async def attempt(cluster: Cluster) -> None:
        found = await cluster.topics()
        missing = [spec for spec in wanted_topics(settings, catalog) if spec.name not in found]
        if missing:
            await cluster.create(missing)
            created.update((spec.name, None) for spec in missing)
        await _check(cluster, settings, catalog, created)

    await _until_ready(settings, clock, attempt)
    return tuple(created)


async def check_topics(settings: Settings, clock: Clock, catalog: Catalog) -> Journal:
    """Check every topic of the catalogue, and change nothing; return the journal. Errors as in `ensure_topics`."""

    async def attempt(cluster: Cluster) -> Journal:
        await _check(cluster, settings, catalog)
        return await read_journal(cluster)

    return await _until_ready(settings, clock, attempt)


async def read_journal(cluster: Cluster) -> Journal:
    """Retryable: there is no such topic now."""
    found = await cluster.describe()
    if CHANGELOG not in found.topics:
        raise Retryable(f"topic {CHANGELOG} is missing: run `sluice topics create`")
    return Journal(found.id, found.topics[CHANGELOG].id)


async def topic_states(settings: Settings, clock: Clock, catalog: Catalog) -> list[TopicState]:
    """The present state of every topic of the catalogue."""
    return await _until_ready(settings, clock, lambda cluster: _states(cluster, catalog))


async def _until_ready(settings: Settings, clock: Clock, attempt: Callable[[Cluster], Awaitable[_T]]) -> _T:
    """Repeat the attempt while the cluster elects leaders."""
    async with open_cluster(client_arguments(settings)) as cluster:
        deadline = clock.monotonic() + READY_SECONDS_MAX
        while True:
            try:
                return await attempt(cluster)
            except Retryable:
                if clock.monotonic() >= deadline:
                    raise
            await asyncio.sleep(POLL_SECONDS)


async def _states(cluster: Cluster, catalog: Catalog) -> list[TopicState]:
    found = await cluster.topics()
    configs = await cluster.configs([spec.name for spec in catalog.topics if spec.name in found])
    return [TopicState(spec, found.get(spec.name), configs.get(spec.name, {})) for spec in catalog.topics]


async def _check(cluster: Cluster, settings: Settings, catalog: Catalog, created: Container[str] = ()) -> None:
    """Rejected: the problems. Retryable until each topic that exists, or was just created, can be read and written."""
    states = await _states(cluster, catalog)
    present = [state for state in states if state.found is not None or state.spec.name in created]
    waiting = [state.spec.name for state in present if state.found is None or not state.found.has_leaders]
    if waiting:
        raise Retryable(f"partitions of {', '.join(waiting)} have no leader: check that enough brokers are running")
    lines = [line for state in states for line in problems(state, settings.partitions)]
    if lines:
        raise Rejected("\n  ".join([f"topics on {settings.bootstrap} are missing or wrong:", *lines]))


def problems(state: TopicState, partitions: int) -> list[str]:
    """A line for each problem, with its solution. Retention and segments are an operator's choice, so no problem."""
    name = state.spec.name
    if state.partitions is None:
        return [f"{name} is missing: run `sluice topics create`"]
    lines = []
    if state.partitions != partitions:
        lines.append(
            f"{name} has {state.partitions} partitions, SLUICE_PARTITIONS is {partitions}: it must never change. "
            f"Set SLUICE_PARTITIONS={state.partitions} for every process; or, if nothing has run yet, delete the topic "
            "and run `sluice topics create`"
        )
    for key, reason in CHECKED.items():
        found, needed = state.config.get(key), state.spec.config[key]
        if found != needed:
            lines.append(f"{name} has {key}={found}, it must be {needed} ({reason}): alter it with Kafka's tools")
    return lines
