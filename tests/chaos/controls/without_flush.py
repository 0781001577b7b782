"""A worker that commits offsets before the broker has confirmed what follows from them.

Its records are on their way for a moment, as over a slow line, and now and then it crashes right after a commit:
nothing but the flush would have made it wait for them.
"""

import asyncio
import os
import signal
from collections.abc import Iterable
from typing import Any
from unittest.mock import patch

from agents.core.batch import Out
from agents.faust.consumer import StrictConsumer
from agents.faust.producer import Deliveries, StrictProducer
from service.cli import main

ON_THE_WAY_SECONDS = 1.3  # longer than the pause between two commits
CRASH_AFTER_COMMITS = 5  # of those with records on their way

_send = Deliveries.send
_under_way: set[asyncio.Task[None]] = set()


async def _send_later(
    self: Deliveries, producer: Any, topic: str, partition: int, outs: Iterable[Out], on_delivered: Any = None
) -> None:
    records = list(outs)

    async def later() -> None:
        await asyncio.sleep(ON_THE_WAY_SECONDS)
        await _send(self, producer, topic, partition, records, on_delivered)

    task = asyncio.create_task(later())
    _under_way.add(task)
    task.add_done_callback(_under_way.discard)


_commit = StrictConsumer._commit
_commits = 0


async def _commit_and_crash(self: StrictConsumer, offsets: Any) -> bool:
    global _commits  # a process has one consumer
    done = bool(await _commit(self, offsets))
    _commits += bool(_under_way)
    if _commits >= CRASH_AFTER_COMMITS:
        os.kill(os.getpid(), signal.SIGKILL)
    return done


async def _no_flush(self: StrictProducer) -> None:
    return


if __name__ == "__main__":
    patches = (
        patch.object(StrictProducer, "flush", _no_flush),
        patch.object(Deliveries, "send", _send_later),
        patch.object(StrictConsumer, "_commit", _commit_and_crash),
    )
    with patches[0], patches[1], patches[2]:
        main()
