"""The topics of the catalogue on a cluster: created where missing, and checked before anything relies on them."""

import asyncio
from collections.abc import Awaitable, Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from service.clock import Clock
from service.kafka.client import client_arguments
from service.kafka.cluster import Cluster, FoundTopic, NewTopicSpec, open_cluster
from service.settings import Settings
from topics.catalog import DAY_MS, HOUR_MS, TOPICS, TopicSpec
from topics.errors import Rejected, Retryable

SETTLE_SECONDS_MAX = 30  # a cluster that has just started, or just created a topic, elects leaders for a moment
POLL_SECONDS = 0.3
MINUTE_MS = 60_000

JOURNAL_CONFIG = {
    # Recovery reads the journal from its start: small segments and early cleaning keep that short.
    "segment.bytes": str(64 * 1024 * 1024),
    "segment.ms": str(HOUR_MS),
    "min.cleanable.dirty.ratio": "0.2",
    # A process that was frozen may append an old record behind its successor's. While both are there, recovery takes
    # the newer state; so nothing is compacted before every such process has found out and ended.
    "min.compaction.lag.ms": str(10 * MINUTE_MS),
    # As long as commands are kept: whoever reads the journal and was away for a week still sees what was removed.
    "delete.retention.ms": str(7 * DAY_MS),
}

CHECKED = {
    "cleanup.policy": "else records go that are still needed, or old ones stay for ever",
    "message.timestamp.type": "deciders live by the broker's clock, not by their senders'",
}

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class TopicState:
    """A topic of the catalogue and what the cluster has of it; `partitions` is None where it is missing."""

    spec: TopicSpec
    partitions: int | None
    has_leaders: bool
    config: Mapping[str, str]


def wanted_topics(settings: Settings) -> tuple[NewTopicSpec, ...]:
    """Every topic of the catalogue as it is created here."""
    in_sync = {"min.insync.replicas": str(max(1, settings.replication - 1))}
    return tuple(
        NewTopicSpec(
            spec.name,
            settings.partitions,
            settings.replication,
            {**spec.config, **(JOURNAL_CONFIG if spec.plane == "journal" else {}), **in_sync},
        )
        for spec in TOPICS
    )


def problems(states: Sequence[TopicState], partitions: int) -> list[str]:
    """What is wrong, a line each, with what to do. Retention, segments and the like are an operator's to choose."""
    return [line for state in states for line in _problems_of(state, partitions)]


async def ensure_topics(settings: Settings, clock: Clock) -> tuple[str, ...]:
    """Create the topics that are missing, then check all; the names of those created.

    Rejected names what is wrong, a line for each problem; Retryable: the cluster cannot be reached, or is not ready
    SETTLE_SECONDS_MAX after it let us in.
    """
    created: dict[str, None] = {}

    async def attempt(cluster: Cluster) -> None:
        found = await cluster.topics()
        missing = [spec for spec in wanted_topics(settings) if spec.name not in found]
        if missing:
            await cluster.create(missing)
            created.update((spec.name, None) for spec in missing)
        _refuse(await _settled_states(cluster, created), settings)

    await _until_settled(settings, clock, attempt)
    return tuple(created)


async def check_topics(settings: Settings, clock: Clock) -> None:
    """Check every topic of the catalogue, and change nothing. Errors as of `ensure_topics`."""

    async def attempt(cluster: Cluster) -> None:
        _refuse(await _settled_states(cluster), settings)

    await _until_settled(settings, clock, attempt)


async def topic_states(settings: Settings, clock: Clock) -> list[TopicState]:
    """Every topic of the catalogue and what the cluster has of it now."""
    return await _until_settled(settings, clock, _states)


async def _until_settled(settings: Settings, clock: Clock, attempt: Callable[[Cluster], Awaitable[_T]]) -> _T:
    """Repeat what a cluster that is still electing leaders could not do."""
    async with open_cluster(client_arguments(settings)) as cluster:
        deadline = clock.monotonic() + SETTLE_SECONDS_MAX
        while True:
            try:
                return await attempt(cluster)
            except Retryable:
                if clock.monotonic() >= deadline:
                    raise
            await asyncio.sleep(POLL_SECONDS)


async def _states(cluster: Cluster) -> list[TopicState]:
    found = await cluster.topics()
    configs = await cluster.configs([spec.name for spec in TOPICS if spec.name in found])
    return [_state(spec, found.get(spec.name), configs.get(spec.name, {})) for spec in TOPICS]


async def _settled_states(cluster: Cluster, created: Container[str] = ()) -> list[TopicState]:
    """Retryable until all that is there, or was just created, can be read and written."""
    states = await _states(cluster)
    present = [state for state in states if state.partitions is not None or state.spec.name in created]
    waiting = [state.spec.name for state in present if not state.has_leaders]
    if waiting:
        raise Retryable(f"partitions of {', '.join(waiting)} have no leader: are enough brokers up?")
    return states


def _state(spec: TopicSpec, found: FoundTopic | None, config: Mapping[str, str]) -> TopicState:
    if found is None:
        return TopicState(spec, None, False, config)
    return TopicState(spec, found.partitions, found.has_leaders, config)


def _refuse(states: Sequence[TopicState], settings: Settings) -> None:
    lines = problems(states, settings.partitions)
    if lines:
        raise Rejected("\n  ".join([f"the topics on {settings.bootstrap} are not as they must be:", *lines]))


def _problems_of(state: TopicState, partitions: int) -> list[str]:
    name = state.spec.name
    if state.partitions is None:
        return [f"{name} is missing: run `sluice topics create`"]
    lines = []
    if state.partitions != partitions:
        lines.append(
            f"{name} has {state.partitions} partitions, SLUICE_PARTITIONS is {partitions}: the count is for ever, so "
            f"set SLUICE_PARTITIONS={state.partitions} for every process, or, if nothing has run yet, delete the topic "
            "and run `sluice topics create`"
        )
    for key, why in CHECKED.items():
        has, needs = state.config.get(key), state.spec.config[key]
        if has != needs:
            lines.append(f"{name} has {key}={has}, it must be {needs} ({why}): alter it with your cluster's tools")
    return lines
