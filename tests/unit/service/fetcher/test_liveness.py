import asyncio
import sys
from typing import Any

import pytest

from agents.watchdog import EXIT_FROZEN
from service.api.exchange import Request
from service.fetcher import liveness as module
from service.fetcher.liveness import Liveness, WatchedTransport
from service.kafka.consumer import SESSION_TIMEOUT_MS
from topics.errors import Retryable


class Down:
    """An API that cannot be reached."""

    async def exchange(self, *args: Any) -> Any:
        raise Retryable("down")

    async def close(self) -> None: ...


async def request(liveness: Liveness) -> None:
    await WatchedTransport(Down(), liveness).exchange(Request("a page", "GET", "http://127.0.0.1", {}))


def freeze(liveness: Liveness) -> None:
    """For longer than a session: its partitions are lost."""
    liveness._detector._seen_at -= 2 * SESSION_TIMEOUT_MS / 1000


async def test_each_attempt_to_reach_an_api_that_is_down_is_progress() -> None:
    liveness = Liveness()
    with pytest.raises(Retryable):
        await request(liveness)
    await liveness.sleep(0)
    assert liveness.steps == 3


async def test_a_fetcher_that_was_frozen_requests_nothing_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os._exit", sys.exit)
    liveness = Liveness()
    freeze(liveness)
    with pytest.raises(SystemExit, match=f"^{EXIT_FROZEN}$"):
        await request(liveness)


async def test_a_start_that_takes_longer_than_a_session_is_no_freeze(monkeypatch: pytest.MonkeyPatch) -> None:
    """The broker may be unreachable for a while before the group is joined."""
    monkeypatch.setattr("os._exit", sys.exit)
    monkeypatch.setattr(module, "CHECK_SECONDS", 0.001)
    liveness = Liveness()
    freeze(liveness)
    watching = asyncio.create_task(liveness.watch())
    await asyncio.sleep(0.01)
    liveness.check()
    watching.cancel()
