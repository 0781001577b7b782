"""Watchdog of a worker: a frozen process, a dead part of the Kafka client, a rebalance without end, no progress."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from agents.watchdog import BROKER_SECONDS_MAX, PROGRESS_SECONDS_MAX, REBALANCE_SECONDS_MAX, Probe


async def watch(app: Any) -> None:
    """Check once a second; end the process through `app.die` where it cannot continue."""
    rebalancing_since: float | None = None
    while not app.should_stop:
        app.freeze_detector.seen()
        await app.sleep(1.0)
        app.freeze_detector.check(app.conf.broker_session_timeout)
        if (reason := _silent_death(app)) is not None:
            app.die(reason)
            return
        rebalancing_since = (rebalancing_since or time.monotonic()) if app.rebalancing else None
        if rebalancing_since and time.monotonic() - rebalancing_since > REBALANCE_SECONDS_MAX:
            app.die(f"a rebalance did not end within {REBALANCE_SECONDS_MAX:.0f} s")
            return


async def worker_probes(app: Any) -> list[Probe]:
    """Probes of a worker's work: restore its table; then, in each partition, decide on records, publish what follows,
    and commit that it did."""
    recovery = app.tables.recovery
    if app.rebalancing or recovery.in_recovery:
        restored = (app.rebalancing_count, sum(offset or 0 for offset in recovery.active_offsets.values()))
        return [Probe("the table's restore", 1, restored, PROGRESS_SECONDS_MAX)]
    consumer, handled = app.consumer, app.next_offset
    held = sorted(tp for tp in consumer.assignment() if handled.get(tp) is not None)
    ends = await ends_of(consumer, held)
    probes = []
    for tp in held:
        unread = ends[tp] - handled[tp] if tp in ends else None
        probes.append(Probe(f"records of {tp.topic}/{tp.partition}", unread, handled[tp], PROGRESS_SECONDS_MAX))
    for tp, reached in {**consumer.handled, **app.decided}.items():
        committed = consumer._committed_offset.get(tp) or 0
        name = f"commit of {tp.topic}/{tp.partition}"
        probes.append(Probe(name, max(0, reached - committed), committed, PROGRESS_SECONDS_MAX))
    return probes


async def ends_of(consumer: Any, tps: list[Any]) -> Mapping[Any, int]:
    """The offsets that the next records will have; nothing if the broker does not say so in time.

    Asked past Faust's queue of calls, in which a partition without a leader would hold up the others.
    """
    if not tps:
        return {}
    thread = consumer._thread
    asked = asyncio.run_coroutine_threadsafe(thread._ensure_consumer().end_offsets(tps), thread.thread_loop)
    try:
        ends: Mapping[Any, int] = await asyncio.wait_for(asyncio.wrap_future(asked), BROKER_SECONDS_MAX)
    except (TimeoutError, RuntimeError, *consumer.consumer_stopped_errors):  # aiokafka's errors are RuntimeErrors
        return {}
    return ends


def _silent_death(app: Any) -> str | None:
    """aiokafka parks fatal errors of the group and of its sender where nobody looks."""
    coordinator = _dig(app._consumer, "_thread", "_consumer", "_coordinator")
    error, task = _dig(coordinator, "_pending_exception"), _dig(coordinator, "_coordination_task")
    if error or (task is not None and task.done()):
        return f"the group coordinator's task has ended: {error!r} {task!r}"
    sender = _dig(app.producer, "_producer", "_sender", "_sender_task")
    if sender is not None and sender.done() and not app.should_stop:
        return f"the producer's sender task has ended: {sender!r}"
    return None


def _dig(value: Any, *names: str) -> Any:
    for name in names:
        value = getattr(value, name, None)
    return value
