"""Reading a lease: each page costs one call of the API and its share of a database transaction, nothing else.

A page that the ledger holds is told again and not fetched again. A lease ends when its units are done, when the source
ends, when something fails, or when its time is up; it tells how far it got, and the decider leases the rest anew.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

from agents.activities.chain import Chain
from agents.activities.database import Database
from agents.activities.pages import Pages
from agents.activities.range_lock import RangeLock
from agents.activities.source import Source
from agents.activities.units import (
    REASON_CHARACTERS_MAX,
    REPORTABLE,
    Failure,
    Fenced,
    UnitDone,
    UnitResult,
    failure_of,
    from_ledger,
    tell,
    totals_message,
)
from agents.ports import Clock, LeaseRequest, LeaseState, LedgerLine, Parent, RunEnd, RunRef
from manifests.entity import Adapter, Entity, path_columns
from topics.commands import FetchPages, PageDone
from topics.errors import Rejected, Retryable

LEASE_SECONDS_MAX = 2.0  # after that no further unit is begun; at least one always is
UNITS_IN_FLIGHT_MAX = 8  # units of one lease that are read at the same time
PAGES_PER_PARENT_MAX = 10_000

Known = Mapping[tuple[str, int], LedgerLine]


class LeaseReader:
    """Runs `fetch-page` commands. Safe to run twice, at once or after a crash: the ledger decides."""

    def __init__(self, source: Source, database: Database, adapters: Mapping[str, Adapter], clock: Clock) -> None:
        self._source = source
        self._database = database
        self._adapters = adapters
        self._clock = clock
        self._ranges = RangeLock()

    async def read(self, command: FetchPages) -> PageDone:
        """Read and commit what the lease asks for. Never raises what a decider should know about."""
        async with self._ranges.single_instance(_run(command).id, range(command.first, command.first + command.units)):
            return await self._told(command)

    async def _told(self, command: FetchPages) -> PageDone:
        started = self._clock.monotonic()
        grant: LeaseState | None = None
        try:
            done = await self._read(command, started)
        except REPORTABLE as error:
            done = tell(command, [failure_of(error)], _ms_since(started, self._clock))
            grant = error.grant if isinstance(error, Fenced) else None
        except BaseExceptionGroup as several:
            raise _first(several) from several  # the process looks at its kind
        if done.error == "fenced":
            return await self._explained(command, done, grant)
        if done.end and command.closes:
            return await self._closed(command, done)
        return done

    async def _explained(self, command: FetchPages, done: PageDone, grant: LeaseState | None) -> PageDone:
        """With the run's sums, if it is complete, since before or by ourselves; or with the number that is in its way.

        Whoever cannot know that yet asks again: a complete run must not begin anew.
        """
        try:
            grant = grant or await self._database.grant(LeaseRequest(_run(command), command.first, 1))
        except (Retryable, Rejected) as error:
            return _again(done, f"{done.reason}; which, is not known: {error}")
        if grant.done is None:
            return done.model_copy(update={"newest": grant.newest})
        return done.model_copy(update={"closed": totals_message(grant.done), "error": None, "reason": ""})

    async def _closed(self, command: FetchPages, done: PageDone) -> PageDone:
        """With the run's sums: this lease was all that it waited for. If not now, the decider has it closed."""
        try:
            closed = await self._database.finish(RunEnd(_run(command), "done"))
        except (Retryable, Rejected):
            return done
        return done.model_copy(update={"closed": totals_message(closed.totals)}) if closed.outcome == "done" else done

    async def _read(self, command: FetchPages, started: float) -> PageDone:
        adapter = self._adapters.get(command.adapter)
        if adapter is None or command.entity not in adapter.entities:
            raise Rejected(f"{command.adapter} has no entity {command.entity!r} here")
        entity = adapter.entities[command.entity]
        run = _run(command)
        pages = Pages(run, adapter, entity, self._source, self._database, self._clock)
        job = _Job(command, pages, started)
        if entity.under is not None:
            return await job.read_parents(adapter.entities[entity.under.entity])
        grant = await self._database.grant(LeaseRequest(run, command.first, command.units))
        known = _known(grant)
        read = job.read_chain if entity.paging.style == "link" else job.read_pages
        return job.tell(await read(known))


class _Job:
    """One lease in the making."""

    def __init__(self, command: FetchPages, pages: Pages, started: float) -> None:
        self._command = command
        self._pages = pages
        self._started = started
        self._stopped = False

    def tell(self, results: Sequence[UnitResult], total: int | None = None) -> PageDone:
        return tell(self._command, results, _ms_since(self._started, self._pages.clock), total)

    async def read_pages(self, known: Known) -> list[UnitResult]:
        """Pages by their numbers, several at a time; the very first one alone, since it tells how many there are."""
        first, units = self._command.first, self._command.units

        async def unit(index: int) -> UnitDone:
            return await self._page(first + index, known)

        if first > 1:
            return await self._in_window(range(units), unit)
        (head,) = await self._in_window(range(1), unit)
        if isinstance(head, Failure) or head.end:
            return [head]
        in_ledger = max((page for _, page in known), default=0)
        there_are = max(head.total or 0, in_ledger + 1, 2)  # this one is not the last, whatever is claimed
        return [head, *await self._in_window(range(1, min(units, there_are)), unit)]

    async def read_parents(self, parent_entity: Entity) -> PageDone:
        """Every page under each of the next parents, several parents at a time; a parent is a unit."""
        command = self._command
        found = await self._pages.database.parents(
            command.adapter,
            parent_entity,
            command.org,
            path_columns(self._pages.entity),
            command.cursor,
            command.units + 1,
        )
        parents, last = found[: command.units], len(found) <= command.units
        total = None
        if command.first == 1:
            total = await self._pages.database.count(command.adapter, parent_entity, command.org)
        keys = tuple(parent.key for parent in parents)
        grant = await self._pages.database.grant(LeaseRequest(self._pages.run, command.first, command.units, keys))
        known = _known(grant)
        if not parents:
            return self.tell([], total).model_copy(update={"end": True})

        async def unit(index: int) -> UnitDone:
            return await self._under(parents[index], known, is_last=last and index == len(parents) - 1)

        return self.tell(await self._in_window(range(len(parents)), unit), total)

    async def read_chain(self, known: Known) -> list[UnitResult]:
        command = self._command
        chain = Chain(self._pages, command.first, command.units, command.cursor, self._must_stop)
        return await chain.read({page: line for (_, page), line in known.items()})

    async def _in_window(self, units: range, unit: Callable[[int], Awaitable[UnitDone]]) -> list[UnitResult]:
        """Units in order, UNITS_IN_FLIGHT_MAX at a time, until one fails, one is the end, or time is up."""
        slots = asyncio.Semaphore(UNITS_IN_FLIGHT_MAX)
        tasks: list[asyncio.Task[UnitResult]] = []
        async with asyncio.TaskGroup() as group:
            for index in units:
                await slots.acquire()
                if (tasks or index) and self._must_stop():
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

    def _must_stop(self) -> bool:
        return self._stopped or self._pages.clock.monotonic() >= self._started + LEASE_SECONDS_MAX

    async def _page(self, page: int, known: Known) -> UnitDone:
        if (line := known.get(("", page))) is not None:
            return from_ledger(line)
        body = await self._pages.fetch(page, None)
        return self._pages.done(body, await self._pages.commit(page, body))

    async def _under(self, parent: Parent, known: Known, is_last: bool) -> UnitDone:
        pages = records = rejected = 0
        link: str | None = None
        for page in range(1, PAGES_PER_PARENT_MAX + 1):
            line = known.get((parent.key, page))
            if line is None:
                body = await self._pages.fetch_under(parent, page, link)
                outcome = await self._pages.commit(page, body, parent.key)
                ended, counts, link = outcome.is_last, (outcome.records, outcome.rejected), outcome.next_cursor
            else:
                ended, counts, link = line.is_last, (line.records, line.rejected), line.next_cursor
            pages, records, rejected = pages + 1, records + counts[0], rejected + counts[1]
            if ended:
                return UnitDone(pages, records, rejected, end=is_last, next_cursor=parent.key)
        raise Rejected(f"parent {parent.key} has more than {PAGES_PER_PARENT_MAX} pages: is its paging a loop?")


def _run(command: FetchPages) -> RunRef:
    return RunRef(command.workflow, command.run, command.org, command.adapter, command.entity, command.type)


def _again(done: PageDone, reason: str) -> PageDone:
    return done.model_copy(update={"error": "retryable", "reason": reason[:REASON_CHARACTERS_MAX]})


def _ms_since(moment: float, clock: Clock) -> int:
    return int((clock.monotonic() - moment) * 1000)


def _known(grant: LeaseState) -> Known:
    if not grant.is_open:
        raise Fenced(grant)
    return {(line.parent, line.page): line for line in grant.lines}


def _first(several: BaseExceptionGroup[BaseException]) -> BaseException:
    error = several.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
