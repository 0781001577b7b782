"""A lease in progress: its command, its pages, its time, and a window in which units are fetched side by side."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

from agents import concurrency
from agents.activities.pages import Pages
from agents.activities.results import REPORTABLE, Fenced, UnitDone, UnitResult, failure_of, report
from agents.ports import LeaseRequest, LedgerLine
from topics.kinds.entity import FetchPages, PageDone

LEASE_SECONDS_MAX = 2.0  # after that no further unit is begun; at least one always is

Known = Mapping[tuple[str, int], LedgerLine]  # by parent and page


class Lease:
    """One `fetch-page` command being worked on. `started` is the clock's monotonic time."""

    def __init__(self, command: FetchPages, pages: Pages, started: float) -> None:
        self.command = command
        self.pages = pages
        self._started = started
        self._stopped = False

    async def open(self, parents: tuple[str, ...] = ()) -> Known:
        """The pages that the ledger holds already; Fenced if the run may not write."""
        request = LeaseRequest(self.pages.run, self.command.first, self.command.units, parents)
        state = await self.pages.database.open_lease(request)
        if not state.is_open:
            raise Fenced(state)
        return {(line.parent, line.page): line for line in state.lines}

    def must_stop(self) -> bool:
        return self._stopped or self.pages.clock.monotonic() >= self._started + LEASE_SECONDS_MAX

    def report(self, results: Sequence[UnitResult], total: int | None = None) -> PageDone:
        return report(self.command, results, self.elapsed_ms(), total)

    def elapsed_ms(self) -> int:
        return int((self.pages.clock.monotonic() - self._started) * 1000)

    async def in_window(self, units: range, unit: Callable[[int], Awaitable[UnitDone]]) -> list[UnitResult]:
        """Units in order, UNITS_PER_LEASE at a time, until one fails, one is the end, or time is up."""
        slots = asyncio.Semaphore(concurrency.UNITS_PER_LEASE)
        tasks: list[asyncio.Task[UnitResult]] = []
        async with asyncio.TaskGroup() as group:
            for index in units:
                await slots.acquire()
                if (tasks or index) and self.must_stop():
                    break
                tasks.append(group.create_task(self._caught(partial(unit, index), slots)))
        return [task.result() for task in tasks]

    async def _caught(self, unit: Callable[[], Awaitable[UnitDone]], slots: asyncio.Semaphore) -> UnitResult:
        try:
            done = await unit()
            self._stopped = self._stopped or done.end
            return done
        except REPORTABLE as error:
            self._stopped = True
            return failure_of(error)
        finally:
            slots.release()
