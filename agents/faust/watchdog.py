"""When a process must give up: it was frozen, a part of the Kafka client has died without a word, or nothing moves.

Giving up costs nothing that is committed: the supervisor starts a fresh process, which goes on from there.
"""

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping
from typing import Any, NamedTuple, NoReturn

log = logging.getLogger("sluice.watchdog")

REBALANCE_SECONDS_MAX = 120.0
# What waits, and could be worked on, has moved within so long. Longer than a rebalance, during which nothing may move,
# and a publish that fails in the end (60 s) together.
PROGRESS_SECONDS_MAX = REBALANCE_SECONDS_MAX + 60.0
LOOK_SECONDS = 5.0
ASK_SECONDS_MAX = 20.0  # for the broker to say how much there is; without an answer, what was known last stands
COUNTED_SECONDS_MAX = LOOK_SECONDS + ASK_SECONDS_MAX  # of the time since the last look: a machine may have slept
EXIT_WAS_FROZEN = 72
EXIT_STANDS_STILL = 73


class FreezeDetector:
    """When the process was last seen awake.

    One that stood still for longer than its session has lost its partitions to somebody else: it must not go on.
    """

    def __init__(self) -> None:
        self._seen_at = time.monotonic()

    def seen(self) -> None:
        self._seen_at = time.monotonic()

    def check(self, seconds_max: float) -> None:
        """End the process, at once, if it was not seen for so long."""
        if time.monotonic() - self._seen_at > seconds_max:
            os._exit(EXIT_WAS_FROZEN)


class Probe(NamedTuple):
    """How much waits of something (None: not known now), and a mark that changes with each step forward."""

    what: str
    waiting: int | None
    mark: Hashable
    seconds_max: float


class Progress:
    """Finds what waits and does not move. Only time in which somebody looked counts. Pure; sizes as of the gauges."""

    def __init__(self) -> None:
        self._looked_at: float | None = None
        self._stood: dict[str, tuple[Probe, float]] = {}

    def stuck(self, now: float, probes: Iterable[Probe]) -> str | None:
        """The sentence to end with, if something has stood still for too long. A gauge left out starts anew."""
        passed = 0.0 if self._looked_at is None else min(now - self._looked_at, COUNTED_SECONDS_MAX)
        before, self._stood, self._looked_at = self._stood, {}, now
        trouble = None
        for probe in probes:
            last, stood = before.get(probe.what, (probe, -passed))
            known = probe if probe.waiting is not None else probe._replace(waiting=last.waiting)
            stood = stood + passed if known.waiting and known.mark == last.mark else 0.0
            self._stood[probe.what] = known, stood
            if stood > probe.seconds_max:
                trouble = f"{probe.what}: {known.waiting} waiting, and nothing has moved for {stood:.0f} s"
        return trouble


def give_up(trouble: str) -> NoReturn:
    """At once: what is stuck cannot be asked to stop."""
    log.critical("%s: this process ends so that a fresh one goes on from the last commit", trouble)
    os._exit(EXIT_STANDS_STILL)


async def watch_progress(look: Callable[[], Awaitable[list[Probe]]]) -> NoReturn:
    """For as long as the process lives: end it when something stands still."""
    progress = Progress()
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        trouble = progress.stuck(time.monotonic(), await look())
        if trouble is not None:
            give_up(trouble)


async def watch(app: Any) -> None:
    """Look once a second; end the process through `app.die` where it cannot go on."""
    rebalancing_since: float | None = None
    while not app.should_stop:
        app.awake.seen()
        await app.sleep(1.0)
        app.awake.check(app.conf.broker_session_timeout)
        if (trouble := _silent_death(app)) is not None:
            app.die(trouble)
            return
        rebalancing_since = (rebalancing_since or time.monotonic()) if app.rebalancing else None
        if rebalancing_since and time.monotonic() - rebalancing_since > REBALANCE_SECONDS_MAX:
            app.die(f"a rebalance did not end within {REBALANCE_SECONDS_MAX:.0f} s")
            return


async def worker_probes(app: Any) -> list[Probe]:
    """What a worker has to do: restore its table; then, in each partition, decide on records, hand over what follows,
    and commit that it did."""
    recovery = app.tables.recovery
    if app.rebalancing or recovery.in_recovery:
        restored = (app.rebalancing_count, sum(offset or 0 for offset in recovery.active_offsets.values()))
        return [Probe("the table's restore", 1, restored, PROGRESS_SECONDS_MAX)]
    consumer, handled = app.consumer, app.next_offset
    held = sorted(tp for tp in consumer.assignment() if handled.get(tp) is not None)
    ends = await _ends(consumer, held)
    probes = []
    for tp in held:
        unread = ends[tp] - handled[tp] if tp in ends else None
        probes.append(Probe(f"records of {tp.topic}/{tp.partition}", unread, handled[tp], PROGRESS_SECONDS_MAX))
    for tp, reached in {**consumer.handled, **app.decided}.items():
        committed = consumer._committed_offset.get(tp) or 0
        what = f"commit of {tp.topic}/{tp.partition}"
        probes.append(Probe(what, max(0, reached - committed), committed, PROGRESS_SECONDS_MAX))
    return probes


async def _ends(consumer: Any, tps: list[Any]) -> Mapping[Any, int]:
    """The offsets that the next records will have; nothing if the broker does not say so in time.

    Asked past Faust's queue of calls, in which a partition without a leader would hold up the others.
    """
    if not tps:
        return {}
    thread = consumer._thread
    asked = asyncio.run_coroutine_threadsafe(thread._ensure_consumer().end_offsets(tps), thread.thread_loop)
    try:
        ends: Mapping[Any, int] = await asyncio.wait_for(asyncio.wrap_future(asked), ASK_SECONDS_MAX)
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
