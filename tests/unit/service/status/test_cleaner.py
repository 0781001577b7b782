"""The cleaner's round, on tables in memory; tests/sinks/test_retention.py has the statements."""

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agents.kinds import SHIPPED
from service.status import cleaner
from service.status.cleaner import Cleaner
from service.status.store import Position
from tests.engine.clock import MovableClock
from topics.errors import Rejected, Retryable, SluiceError

NEWEST = datetime(2026, 1, 31, tzinfo=UTC)
AFTER = int(NEWEST.timestamp() * 1000) + 1


class Store:
    """Each table has three batches; some statements fail."""

    def __init__(self, newest: datetime | None = NEWEST, failures: dict[str, SluiceError] | None = None) -> None:
        self.newest = newest
        self.failures = failures or {}
        self.removed: list[str] = []
        self.before: set[datetime] = set()

    async def newest_event(self) -> datetime | None:
        return self.newest

    async def find_batch(self, statement: str, before: datetime, after: Position, *_: object) -> Position | None:
        self.before.add(before)
        number = int(after[1] or 0) + 1
        return (before, str(number)) if number <= 3 else None

    async def remove(self, statement: str, *_: object) -> int:
        if statement in self.failures:
            raise self.failures[statement]
        self.removed.append(statement)
        return 1


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cleaner, "ROUND_SECONDS", 0.001)
    monkeypatch.setattr(cleaner, "PAUSE_SECONDS", 0)


def made(store: Any, responsible: Sequence[bool] = ()) -> Cleaner:
    """Responsible each time as the sequence says, and then for ever."""
    left = list(responsible)
    return Cleaner(store, SHIPPED.kinds, 30, MovableClock(AFTER), lambda: left.pop(0) if left else True)


@pytest.mark.parametrize("error", [Retryable("locked"), Rejected("a foreign key")])
async def test_a_table_that_cannot_be_cleaned_is_logged_and_the_others_are_cleaned(
    error: SluiceError, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(failures={"remove_events": error})
    with caplog.at_level(logging.WARNING):
        await made(store).clean()
    assert {one: store.removed.count(one) for one in store.removed} == {
        "remove_runs": 6, "remove_rejected": 3, "remove_lines": 3, "remove_fences": 3,
    }  # fmt: skip
    (logged,) = [vars(record) for record in caplog.records]
    assert (logged["sluice.walk"], logged["sluice.error"]) == ("next_events", str(error))


async def test_a_walk_that_failed_continues_where_it_was() -> None:
    store = Store(failures={"remove_fences": Retryable("locked")})
    one = made(store)
    await one.clean()
    store.failures.clear()
    await one.clean()
    assert (store.removed.count("remove_lines"), store.removed.count("remove_fences")) == (4, 3)


async def test_nothing_is_old_where_nothing_has_happened() -> None:
    store = Store(newest=None)
    await made(store).clean()
    assert store.before == set()


async def test_the_age_is_counted_from_the_newest_event_or_from_our_clock_whichever_is_earlier() -> None:
    for newest in (NEWEST, NEWEST + timedelta(days=365)):
        store = Store(newest)
        await made(store).clean()
        assert store.before <= {NEWEST - timedelta(days=30), NEWEST - timedelta(days=30) + timedelta(milliseconds=1)}


async def test_a_projector_cleans_while_it_is_responsible_and_stops_within_a_batch() -> None:
    store = Store()
    running = asyncio.create_task(made(store, [False, False, True, True, False, *[False] * 1_000_000]).run())
    async with asyncio.timeout(10):
        while not store.removed:
            await asyncio.sleep(0.001)
    await asyncio.sleep(0.02)
    running.cancel()
    assert store.removed == ["remove_runs"]
