"""The cleaner: removes what is older than the retention from the internal tables, beside the projector.

A round walks through each table from its oldest rows on, in small transactions of their own. Nothing rests on where a
walk was interrupted, or on there being one cleaner only: each statement decides anew what may be removed.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from agents.ports import Clock
from service.status.store import RUNS_COMPARED_MAX, Position, StatusStore
from topics.errors import Rejected, Retryable

log = logging.getLogger("sluice.cleaner")

ROUND_SECONDS = 300.0  # between two rounds
BATCH_ROWS = 500  # old rows that a batch looks at; those of one instant and one id stay together
BATCHES_MAX = 100  # of one table in a round; the next round continues there
PAUSE_SECONDS = 0.05  # after a batch, for others
LINES_MAX = 5_000  # ledger lines that a batch removes
BEGINNING: Position = (datetime(1970, 1, 1, tzinfo=UTC), "")


class Removal(NamedTuple):
    """A statement that removes what may go of a batch, and its arguments besides those that describe the batch."""

    statement: str
    arguments: tuple[object, ...] = ()


@dataclass(slots=True)
class Walk:
    """One table: the statement that finds the end of the next batch, what removes, and how far the round has come."""

    find: str
    removals: tuple[Removal, ...]
    arguments: tuple[object, ...] = ()
    position: Position = BEGINNING


def walks(kinds: Iterable[str]) -> list[Walk]:
    """Every table that grows with time."""
    runs = (Walk("next_runs", (Removal("remove_runs", (kind, RUNS_COMPARED_MAX)),), (kind,)) for kind in kinds)
    fences = (Removal("remove_lines", (LINES_MAX,)), Removal("remove_fences"))
    return [
        *runs,
        Walk("next_events", (Removal("remove_events"),)),
        Walk("next_rejected", (Removal("remove_rejected"),)),
        Walk("next_fences", fences),
    ]


class Cleaner:
    """`is_responsible` says whether this process is to clean now: of several, one is enough."""

    def __init__(
        self, store: StatusStore, kinds: Iterable[str], days: int, clock: Clock, is_responsible: Callable[[], bool]
    ) -> None:
        self._store = store
        self._walks = walks(kinds)
        self._days = days
        self._clock = clock
        self._is_responsible = is_responsible

    async def run(self) -> None:
        """For as long as the process lives."""
        while True:
            await asyncio.sleep(ROUND_SECONDS)
            if self._is_responsible():
                await self.clean()

    async def clean(self) -> None:
        """One round. A table that cannot be cleaned is logged, and tried again in the next one."""
        removed = 0
        for walk in self._walks:
            try:
                removed += await self._clean(walk)
            except (Retryable, Rejected) as error:
                log.warning("old rows not removed", extra={"sluice.walk": walk.find, "sluice.error": str(error)})
        if removed:
            log.info("old rows removed", extra={"sluice.rows": removed, "sluice.older_than_days": self._days})

    async def _clean(self, walk: Walk) -> int:
        newest, removed = await self._store.newest_event(), 0
        if newest is None:
            return 0
        # Neither our clock nor the broker's removes anything too early by being ahead alone.
        before = min(self._clock.now(), newest) - timedelta(days=self._days)
        for _ in range(BATCHES_MAX):
            until = await self._store.find_batch(walk.find, before, walk.position, BATCH_ROWS, walk.arguments)
            if until is None or not self._is_responsible():
                walk.position = BEGINNING
                break
            for removal in walk.removals:
                removed += await self._store.remove(removal.statement, before, walk.position, until, removal.arguments)
            walk.position = until
            await asyncio.sleep(PAUSE_SECONDS)
        return removed
