"""Composition root: builds and runs each role of the image."""

import asyncio
import gc
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Mapping
from random import Random

import uvloop

from agents.activities.actions import Activity
from agents.activities.database import Database
from agents.activities.fetch import LeaseReader
from agents.activities.interruptions import Interruptions
from agents.activities.runner import ActivityRunner
from agents.core.registry import Registry
from agents.failpoints import failpoints, parse_failpoints
from agents.faust.app import run_app
from agents.faust.wiring import WorkerConfig, build_app
from agents.kinds import SHIPPED
from agents.watchdog import run_beside
from manifests.loader import load_with
from service.api.client import ApiClient
from service.api.connections import read_connections
from service.api.http import HttpOptions
from service.api.source import ApiSource
from service.api.transport import HttpTransport, Transport
from service.clock import SystemClock
from service.fetcher.liveness import Liveness, WatchedTransport
from service.fetcher.process import Fetcher
from service.kafka.client import client_arguments
from service.kafka.cluster import open_cluster
from service.kafka.journal import Journal
from service.kafka.topics import check_topics
from service.kafka.watch import watch_journal
from service.settings import Settings, environment
from service.sinks import open_sink
from service.sinks.interruptions import InterruptionTable
from service.status import open_status
from service.status.meeting import meet
from service.status.projector import project
from tables.logs import LogIdentity
from tables.stores import keep_stores_of
from topics.partitions import partitioner

log = logging.getLogger("sluice.roles")

ROLES = ("worker", "fetcher", "projector")
# Records are created and freed by the thousand and are in no cycle: a garbage collection after every 700 allocations
# (the default) took a third of the fetcher's time. Objects that were loaded at the start are never collected.
GC_THRESHOLDS = (50_000, 20, 50)


def run_worker(settings: Settings, name: str, registry: Registry = SHIPPED) -> None:
    """Run a worker: consume the control topics and keep the workflows' table. Returns after SIGTERM."""
    _tune_garbage_collection()
    failpoints.arm(parse_failpoints(settings.failpoints or ""))
    clock = SystemClock()
    journal = asyncio.run(check_topics(settings, clock, registry.catalog))
    kafka = client_arguments(settings)
    datadir = settings.home.absolute() / "tables" / name
    keep_stores_of(str(journal), datadir)
    config = WorkerConfig(
        name=name,
        broker_urls=tuple(f"kafka://{server}" for server in kafka["bootstrap_servers"]),
        partitions=settings.partitions,
        replication=settings.replication,
        datadir=datadir,
        username=kafka["sasl_plain_username"],
        password=kafka["sasl_plain_password"],
        sasl_mechanism=kafka["sasl_mechanism"],
        ssl_context=kafka["ssl_context"],
        stops_at_loss=settings.lost_records == "stop",
    )

    async def find_logs(known: Mapping[tuple[str, int], int | None]) -> Mapping[tuple[str, int], LogIdentity]:
        async with open_cluster(kafka) as cluster:
            return await cluster.find_logs(known)

    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    adapters = load_with(settings.manifests).adapters
    app = build_app(config, registry, adapters, clock.steady_ms, find_logs)

    async def watch() -> None:
        await watch_journal(kafka, journal)

    app.task(watch)
    run_app(app, loop)


def run_fetcher(
    settings: Settings, name: str, registry: Registry = SHIPPED, activities: Mapping[str, Activity] | None = None
) -> None:
    """Run a fetcher: fetch pages and run actions. `activities` are those of kinds that are not shipped.

    Returns after SIGTERM; raises an error that must end the process.
    """

    async def run(stop: asyncio.Event) -> None:
        clock = SystemClock()
        failpoints.arm(parse_failpoints(settings.failpoints or ""))
        journal = await check_topics(settings, clock, registry.catalog)
        adapters = load_with(settings.manifests).adapters
        sink, liveness = open_sink(settings.sink, clock), Liveness()
        database = Database(sink, liveness.sleep)
        for adapter in adapters.values():
            for entity, problem in (await database.prepare(adapter)).items():
                log.error("entity cannot be stored", extra={"sluice.entity": entity, "sluice.reason": problem})
        for danger in await sink.dangers():
            log.warning("database may lose what it commits", extra={"sluice.reason": danger})
        await _meet(settings, clock, registry, journal)
        source = open_source(settings, clock, WatchedTransport(open_transport(settings), liveness))
        runner = ActivityRunner(LeaseReader(source, database, adapters, clock, asyncio.sleep), database, activities)
        interruptions = Interruptions(runner, InterruptionTable(sink, clock))
        partition_of = partitioner(settings.partitions)
        stops_at_loss = settings.lost_records == "stop"
        fetcher = Fetcher(
            client_arguments(settings), name, registry, interruptions.run, partition_of, liveness, stops_at_loss
        )
        try:
            await run_beside(fetcher.run(stop), watch_journal(client_arguments(settings), journal))
        finally:
            await source.close()
            await sink.close()

    _run_until_stopped(run)


async def _meet(settings: Settings, clock: SystemClock, registry: Registry, journal: Journal) -> None:
    """Make the journal known to the database."""
    store = open_status(settings, clock, registry)
    try:
        await store.prepare()
        await meet(store, journal)
    finally:
        await store.close()


def run_projector(settings: Settings, name: str, registry: Registry = SHIPPED) -> None:
    """Run a projector: publish the journal as status tables. Returns after SIGTERM."""

    async def run(stop: asyncio.Event) -> None:
        clock = SystemClock()
        journal = await check_topics(settings, clock, registry.catalog)
        store = open_status(settings, clock, registry)
        try:
            days = settings.retention_days
            projector = project(client_arguments(settings), name, registry, store, journal, days, clock, stop)
            await run_beside(projector, watch_journal(client_arguments(settings), journal))
        finally:
            await store.close()

    _run_until_stopped(run)


def open_transport(settings: Settings) -> HttpTransport:
    """HTTP by the settings' authorities and proxies."""
    return HttpTransport(HttpOptions(settings.ca_file, settings.https_proxy, settings.http_proxy, settings.no_proxy))


def open_source(settings: Settings, clock: SystemClock, transport: Transport) -> ApiSource:
    """The source of pages: the APIs, reached as the connections file says."""
    client = ApiClient(clock, Random(), settings.home, environment(), transport)
    return ApiSource(client, read_connections(settings.connections))


def _run_until_stopped(run: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    _tune_garbage_collection()

    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await run(stop)

    uvloop.run(main())


def _tune_garbage_collection() -> None:
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


def default_name(role: str) -> str:
    """The name of the only process of its role on a machine; its static membership in Kafka has the same name."""
    return f"{os.uname().nodename}-{role}"
