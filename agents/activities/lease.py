"""A lease in progress: its command, its pages, its time, and a window in which units are fetched side by side."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from functools import partial

from agents import concurrency
from agents.activities.pages import Page, Pages
from agents.activities.results import REPORTABLE, Fenced, UnitDone, UnitResult, failure_of, from_ledger, report
from agents.ledger import Due, Extent
from agents.ports import LeaseRequest, LedgerLine, PageOutcome, ParentsRequest
from manifests.entity import Entity, path_columns
from topics.kinds.entity import FetchPages, PageDone
from topics.kinds.sync import DELTA

LEASE_SECONDS_MAX = 2.0  # after that no further unit is begun; at least one always is
ROTATION_MAX = 250  # parents that a delta reads under though they have not changed
PAGES_MAX = 2**40  # of a run; more than any API has


class Lease:
    """One `fetch-page` command being worked on. `started` is the clock's monotonic time.

    `lines` are what it knows of the ledger, by parent and page; `is_aware`: it knows each line that it had a part in.
    `unproven` says why one of its collections may lack a record.
    """

    def __init__(self, command: FetchPages, pages: Pages, started: float) -> None:
        self.command = command
        self.pages = pages
        self.layout = pages.layout(command.page_size)
        self.lines: dict[tuple[str, int], LedgerLine] = {}
        self.is_aware = True
        self._fetched: dict[tuple[str, int], Extent] = {}
        self.unproven = command.unproven
        self._started = started
        self._stopped = False

    async def open(self, parents: tuple[str, ...] = ()) -> None:
        """Read the pages that the ledger holds already, and the one in front; Fenced if the run may not write."""
        front = min(self.command.first - 1, 1)
        await self._open(self.command.first - front, self.command.units + front, parents)
        self.is_aware = not self.lines  # where another has begun it, repairs may be there, too

    async def open_all(self) -> None:
        """Read the ledger of a collection at the top level whole, repairs included."""
        await self._open(-PAGES_MAX, 2 * PAGES_MAX, ())

    async def _open(self, first: int, units: int, parents: tuple[str, ...]) -> None:
        state = await self.pages.database.open_lease(LeaseRequest(self.pages.run, first, units, parents))
        if not state.is_open:
            raise Fenced(state)
        self.lines |= {(line.parent, line.page): line for line in state.lines}

    def parents(self, above: Entity, after: str | None, limit: int, unread: bool = False) -> ParentsRequest:
        """Asks for the next parents that the run reads under; `unread`: those that it has not read under."""
        entity, run = self.pages.entity, self.pages.run
        due: Due | None = None
        if run.type == DELTA and entity.under is not None:
            before = self.pages.clock.now() - timedelta(hours=entity.under.rotation_hours)
            due = Due(entity.name, before, ROTATION_MAX)
        names = path_columns(entity)
        return ParentsRequest(run.adapter, above, run.org, names, after, limit, run.id if unread else None, due)

    def known(self, page: int, parent: str = "") -> UnitDone | None:
        """The page as the ledger has it."""
        line = self.lines.get((parent, page))
        return None if line is None else from_ledger(line, self.layout)

    def front(self, page: int, parent: str = "") -> Extent | None:
        """What is known of the page before."""
        line = self.lines.get((parent, page - 1))
        return self._fetched.get((parent, page - 1)) if line is None else line.extent

    def note_fetched(self, page: Page) -> None:
        self._fetched[page.parent, page.number] = page.extent

    def note(self, page: Page, outcome: PageOutcome) -> None:
        """A page was committed."""
        line = page.line(outcome)
        if line is None:
            self.is_aware = False
        else:
            self.lines[page.parent, page.number] = line

    def collection(self, parent: str = "") -> dict[int, LedgerLine]:
        return {page: line for (below, page), line in self.lines.items() if below == parent}

    def must_stop(self) -> bool:
        return self._stopped or self.is_late()

    def is_late(self) -> bool:
        return self.pages.clock.monotonic() >= self._started + LEASE_SECONDS_MAX

    def report(self, results: Sequence[UnitResult], total: int | None = None) -> PageDone:
        done = report(self.command, results, self.elapsed_ms(), total)
        size = self.layout.size if self.layout.size != self.pages.entity.paging.size else None
        return done.model_copy(update={"page_size": size, "unproven": self.unproven})

    def elapsed_ms(self) -> int:
        return int((self.pages.clock.monotonic() - self._started) * 1000)

    async def in_window(self, units: Sequence[int], unit: Callable[[int], Awaitable[UnitDone]]) -> list[UnitResult]:
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
