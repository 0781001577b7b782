"""When a process must give up: frozen for too long, or a part of the Kafka client has died without a word."""

import os
import time
from typing import Any

REBALANCE_SECONDS_MAX = 120.0
EXIT_WAS_FROZEN = 72


async def watch(app: Any) -> None:
    """Look once a second; end the process through `app.die` where it cannot go on."""
    rebalancing_since: float | None = None
    while not app.should_stop:
        app.tick = time.monotonic()
        await app.sleep(1.0)
        if time.monotonic() - app.tick > app.conf.broker_session_timeout:
            os._exit(EXIT_WAS_FROZEN)  # our partitions belong to somebody else by now
        if (trouble := _silent_death(app)) is not None:
            app.die(trouble)
            return
        rebalancing_since = (rebalancing_since or time.monotonic()) if app.rebalancing else None
        if rebalancing_since and time.monotonic() - rebalancing_since > REBALANCE_SECONDS_MAX:
            app.die(f"a rebalance did not end within {REBALANCE_SECONDS_MAX:.0f} s")
            return


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
