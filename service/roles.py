"""The composition root: each role of the one image, put together from its parts."""

import asyncio
import gc
import os
import signal
from collections.abc import Awaitable, Callable
from random import Random
from urllib.parse import urlsplit

import uvloop

from agents.activities.database import Database
from agents.activities.leases import LeaseReader
from agents.failpoints import failpoints, parse_failpoints
from agents.faust.app import run_app
from agents.faust.wiring import WorkerConfig, build_app, make_processor, partitioner
from manifests.loader import load_with
from service.api.client import ApiClient
from service.api.connections import read_connections
from service.api.source import ApiSource
from service.api.transport import HttpTransport, Transport
from service.clock import SystemClock
from service.fetcher.liveness import Liveness, WatchedTransport
from service.fetcher.process import Fetcher
from service.fetcher.work import Work
from service.kafka.client import access, client_arguments
from service.kafka.topics import check_topics
from service.settings import Settings, environment
from service.sinks import open_sink
from service.sinks.address import sqlite_path
from service.status.postgres import PostgresStatus
from service.status.projector import project
from service.status.sqlite import SqliteStatus
from service.status.store import StatusStore

ROLES = ("worker", "fetcher", "projector")
# Records come and go by the thousand and hold no cycles: looking for some after every 700 allocations cost a third of
# the fetcher's time. What was loaded at the start is never looked at again.
COLLECT_AFTER = (50_000, 20, 50)


def run_worker(settings: Settings, name: str) -> None:
    """Decide: consume the control topics and keep the workflows' table. Returns after SIGTERM."""
    _collect_seldom()
    failpoints.arm(parse_failpoints(settings.failpoints or ""))
    clock = SystemClock()
    asyncio.run(check_topics(settings, clock))
    found = access(settings)
    datadir = settings.home.absolute() / "tables" / name
    datadir.mkdir(parents=True, exist_ok=True)
    config = WorkerConfig(
        name=name,
        broker_urls=found.broker_urls,
        partitions=settings.partitions,
        replication=settings.replication,
        datadir=datadir,
        username=found.username,
        password=found.password,
        sasl_mechanism=found.sasl_mechanism,
        ssl_context=found.ssl_context,
    )
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    app = build_app(
        config, make_processor(load_with(settings.manifests).adapters), lambda: int(clock.now().timestamp() * 1000)
    )
    run_app(app, loop)


def run_fetcher(settings: Settings, name: str) -> None:
    """Read pages and run actions. Returns after SIGTERM; raises what must end the process."""

    async def run(stop: asyncio.Event) -> None:
        clock = SystemClock()
        failpoints.arm(parse_failpoints(settings.failpoints or ""))
        await check_topics(settings, clock)
        adapters = load_with(settings.manifests).adapters
        sink = open_sink(settings.sink, clock)
        for adapter in adapters.values():
            await sink.prepare(adapter)
        signs = Liveness()
        database = Database(sink, signs.sleep)
        source = open_source(settings, clock, WatchedTransport(HttpTransport(), signs))
        work = Work(LeaseReader(source, database, adapters, clock), database)
        fetcher = Fetcher(client_arguments(settings), name, work.do, partitioner(settings.partitions), signs)
        try:
            await fetcher.run(stop)
        finally:
            await source.close()
            await sink.close()

    _run_until_stopped(run)


def run_projector(settings: Settings, name: str) -> None:
    """Publish what the journal says. Returns after SIGTERM."""

    async def run(stop: asyncio.Event) -> None:
        clock = SystemClock()
        await check_topics(settings, clock)
        store = open_status(settings, clock)
        try:
            await project(client_arguments(settings), name, store, stop)
        finally:
            await store.close()

    _run_until_stopped(run)


def open_source(settings: Settings, clock: SystemClock, transport: Transport) -> ApiSource:
    """The APIs, as the connections file says how to reach them."""
    client = ApiClient(clock, Random(), settings.home, environment(), transport=transport)
    return ApiSource(client, read_connections(settings.connections))


def open_status(settings: Settings, clock: SystemClock) -> StatusStore:
    """The status tables in the sink's database; to be called where an event loop runs."""
    path = sqlite_path(settings.sink)
    if path is not None:
        return SqliteStatus(path, clock)
    parts = urlsplit(settings.sink)
    return PostgresStatus(settings.sink, clock, f"PostgreSQL at {parts.hostname or ''}{parts.path}")


def _run_until_stopped(run: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    _collect_seldom()

    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await run(stop)

    uvloop.run(main())


def _collect_seldom() -> None:
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)


def default_name(role: str) -> str:
    """The static membership of the only process of its role on a machine."""
    return f"{os.uname().nodename}-{role}"
