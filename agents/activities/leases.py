"""Reading a lease: each page costs one call of the API and its share of a database transaction, nothing else.

A page that the ledger holds is told again and not fetched again. A lease ends when its units are done, when the source
ends, when something fails, or when its time is up; it tells how far it got, and the decider leases the rest anew.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import TypeAlias

from agents.activities.database import Database
from agents.activities.source import PageAsk, Source
from agents.activities.units import Failure, Fenced, UnitDone, UnitResult, failure_of, tell
from agents.ports import Clock, LeaseAsk, LedgerLine, PageOutcome, PageWrite, Parent, RunRef
from agents.records import PageBody
from manifests.entity import Adapter, Entity, path_columns
from topics.commands import FetchPages, PageDone
from topics.errors import Rejected, Retryable

LEASE_SECONDS_MAX = 2.0  # after that no further unit is begun; at least one always is
UNITS_IN_FLIGHT_MAX = 8  # units of one lease that are read at the same time
COMMITS_AHEAD_MAX = 4  # pages of a chain that wait for their commit while the next is fetched
PAGES_PER_PARENT_MAX = 10_000

TOLD = (Retryable, Rejected, Fenced)  # what a decider is told of; anything else ends the process
Fetched = tuple[int, PageBody]
Queue: TypeAlias = "asyncio.Queue[Fetched | None]"
Known = Mapping[tuple[str, int], LedgerLine]


class LeaseReader:
    """Runs `fetch-page` commands. Safe to run twice, at once or after a crash: the ledger decides."""

    def __init__(self, source: Source, database: Database, adapters: Mapping[str, Adapter], clock: Clock) -> None:
        self._source = source
        self._database = database
        self._adapters = adapters
        self._clock = clock

    async def read(self, command: FetchPages) -> PageDone:
        """Read and commit what the lease asks for. Never raises what a decider should know about."""
        started = self._clock.monotonic()
        try:
            done = await self._read(command, started)
        except TOLD as error:
            done = tell(command, [failure_of(error)], 0)
        except BaseExceptionGroup as several:
            raise _first(several) from several  # the process looks at its kind
        elapsed_ms = int((self._clock.monotonic() - started) * 1000)
        return done.model_copy(update={"elapsed_ms": elapsed_ms})

    async def _read(self, command: FetchPages, started: float) -> PageDone:
        adapter = self._adapters.get(command.adapter)
        if adapter is None or command.entity not in adapter.entities:
            raise Rejected(f"{command.adapter} has no entity {command.entity!r} here")
        entity = adapter.entities[command.entity]
        job = _Job(self._source, self._database, command, adapter, entity, self._clock, started)
        if entity.under is not None:
            return await job.read_parents(adapter.entities[entity.under.entity])
        grant = await self._database.grant(LeaseAsk(job.run, command.first, command.units))
        known = _known(grant.is_open, grant.lines)
        if entity.paging.style == "link":
            return tell(command, await job.read_chain(known), 0)
        return tell(command, await job.read_pages(known), 0)


class _Job:
    """One lease in the making."""

    def __init__(
        self,
        source: Source,
        database: Database,
        command: FetchPages,
        adapter: Adapter,
        entity: Entity,
        clock: Clock,
        started: float,
    ) -> None:
        self._source = source
        self._database = database
        self._command = command
        self._adapter = adapter
        self._entity = entity
        self._clock = clock
        self._ends_at = started + LEASE_SECONDS_MAX
        self._stopped = False
        self.run = RunRef(command.workflow, command.run, command.org, command.adapter, command.entity, command.type)

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
        found = await self._database.parents(
            command.adapter,
            parent_entity,
            command.org,
            path_columns(self._entity),
            command.cursor,
            command.units + 1,
        )
        parents, last = found[: command.units], len(found) <= command.units
        total = None
        if command.first == 1:
            total = await self._database.count(command.adapter, parent_entity, command.org)
        keys = tuple(parent.key for parent in parents)
        grant = await self._database.grant(LeaseAsk(self.run, command.first, command.units, keys))
        known = _known(grant.is_open, grant.lines)
        if not parents:
            return tell(command, [], 0, total).model_copy(update={"end": True})

        async def unit(index: int) -> UnitDone:
            return await self._under(parents[index], known, is_last=last and index == len(parents) - 1)

        return tell(command, await self._in_window(range(len(parents)), unit), 0, total)

    async def read_chain(self, known: Known) -> list[UnitResult]:
        """Pages that name each other: the next one is fetched while the ones before are being committed."""
        told: list[UnitResult] = []
        fetched: Queue = asyncio.Queue()
        slots = asyncio.Semaphore(COMMITS_AHEAD_MAX)
        async with asyncio.TaskGroup() as group:
            committing = group.create_task(self._commit_in_order(fetched, slots))
            failure = await self._fetch_chain(known, told, fetched, slots)
            fetched.put_nowait(None)
        return [*told, *committing.result(), *([failure] if failure else [])]

    async def _fetch_chain(
        self, known: Known, told: list[UnitResult], fetched: Queue, slots: asyncio.Semaphore
    ) -> Failure | None:
        """From the ledger as far as it goes (`told`), then from the API; what ended it, if that was a failure."""
        link, links = self._command.cursor, set[str | None]()
        for page in range(self._command.first, self._command.first + self._command.units):
            if page > self._command.first and self._must_stop():
                return None
            line = None if links else known.get(("", page))
            if line is not None:
                told.append(_told(line))
                link, is_last = line.next_cursor, line.is_last
            else:
                await slots.acquire()
                try:
                    body = await self._next_of_chain(page, link, links)
                except TOLD as error:
                    return failure_of(error)
                fetched.put_nowait((page, body))
                link, is_last = body.next, self._ends(page, body)
            if is_last:
                return None
        return None

    async def _next_of_chain(self, page: int, link: str | None, links: set[str | None]) -> PageBody:
        body = await self._fetch(page, link)
        links.add(link)
        if body.next in links and body.next is not None:
            raise Rejected(f"page {page} of {self._entity.name} leads back to one before: a loop")
        return body

    async def _commit_in_order(self, fetched: Queue, slots: asyncio.Semaphore) -> list[UnitResult]:
        """What was fetched meanwhile shares a transaction. After a failure nothing more is committed: no gaps."""
        results: list[UnitResult] = []
        while bundle := await _whatever_waits(fetched):
            if not self._stopped:
                results += await self._committed(bundle)
            for _ in bundle:
                slots.release()
        return results

    async def _committed(self, bundle: Sequence[Fetched]) -> list[UnitResult]:
        try:
            outcomes = await self._database.commit(tuple(self._write(page, body, "") for page, body in bundle))
        except TOLD as error:
            self._stopped = True
            return [failure_of(error)]
        results = [self._result(page, body, said) for (page, body), said in zip(bundle, outcomes, strict=False)]
        self._stopped = any(isinstance(result, Failure) for result in results)
        return results

    def _result(self, page: int, body: PageBody, said: PageOutcome | Retryable | Rejected) -> UnitResult:
        if not isinstance(said, PageOutcome):
            return failure_of(said)
        return failure_of(Fenced()) if said.status == "fenced" else self._done(page, body, said)

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
        except TOLD as error:
            self._stopped = True
            return failure_of(error)
        finally:
            slots.release()

    def _ends(self, page: int, body: PageBody) -> bool:
        """Nothing follows this page. An empty one is the end, whatever it says: `per_page=0` would go on for ever."""
        return body.records == 0 or not _says_that_more_follow(self._adapter, self._entity, page, body)

    def _must_stop(self) -> bool:
        return self._stopped or self._clock.monotonic() >= self._ends_at

    async def _page(self, page: int, known: Known) -> UnitDone:
        if (line := known.get(("", page))) is not None:
            return _told(line)
        return await self._written(page, await self._fetch(page, None))

    async def _under(self, parent: Parent, known: Known, is_last: bool) -> UnitDone:
        pages = records = rejected = 0
        link: str | None = None
        for page in range(1, PAGES_PER_PARENT_MAX + 1):
            line = known.get((parent.key, page))
            if line is None:
                body = await self._source.fetch(self._ask(page, link, parent)) or PageBody((), (), None, 0, 0)
                outcome = await self._commit(page, body, parent.key)
                ended, counts, link = self._ends(page, body), (outcome.records, outcome.rejected), body.next
            else:
                ended, counts, link = line.is_last, (line.records, line.rejected), line.next_cursor
            pages, records, rejected = pages + 1, records + counts[0], rejected + counts[1]
            if ended:
                return UnitDone(pages, records, rejected, end=is_last, next_cursor=parent.key)
        raise Rejected(f"parent {parent.key} has more than {PAGES_PER_PARENT_MAX} pages: is its paging a loop?")

    async def _fetch(self, page: int, link: str | None) -> PageBody:
        body = await self._source.fetch(self._ask(page, link, None))
        if body is None:
            raise Rejected(f"{self._entity.path} does not exist")
        return body

    def _ask(self, page: int, link: str | None, parent: Parent | None) -> PageAsk:
        linked = link if self._entity.paging.style == "link" else None
        return PageAsk(self._command.org, self._adapter, self._entity, page, linked, parent)

    async def _written(self, page: int, body: PageBody) -> UnitDone:
        outcome = await self._commit(page, body, "")
        return self._done(page, body, outcome)

    def _done(self, page: int, body: PageBody, outcome: PageOutcome) -> UnitDone:
        total = None if body.total is None else -(-body.total // self._entity.paging.size)
        return UnitDone(1, outcome.records, outcome.rejected, self._ends(page, body), body.next, total)

    def _write(self, page: int, body: PageBody, parent: str) -> PageWrite:
        return PageWrite(
            run=self.run,
            entity=self._entity,
            parent=parent,
            page=page,
            rows=body.rows,
            rejected=body.rejected,
            is_last=self._ends(page, body),
            next_cursor=body.next,
            fetched_at=self._clock.now(),
        )

    async def _commit(self, page: int, body: PageBody, parent: str) -> PageOutcome:
        outcome = await self._database.commit_page(self._write(page, body, parent))
        if outcome.status == "fenced":
            raise Fenced
        return outcome


async def _whatever_waits(fetched: Queue) -> list[Fetched]:
    """At least one; none at the end, which is then seen again."""
    bundle: list[Fetched] = []
    one = await fetched.get()
    while one is not None:
        bundle.append(one)
        if fetched.empty():
            return bundle
        one = fetched.get_nowait()
    fetched.put_nowait(None)
    return bundle


def _known(is_open: bool, lines: tuple[LedgerLine, ...]) -> Known:
    if not is_open:
        raise Fenced
    return {(line.parent, line.page): line for line in lines}


def _first(several: BaseExceptionGroup[BaseException]) -> BaseException:
    error = several.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error


def _told(line: LedgerLine) -> UnitDone:
    return UnitDone(1, line.records, line.rejected, line.is_last, line.next_cursor)


def _says_that_more_follow(adapter: Adapter, entity: Entity, page: int, body: PageBody) -> bool:
    """A link to a next page; without one, for pages by number, a total that goes on, or a full page of an API that
    names no next pages at all. One page that forgets its link must not end what others know to go on."""
    if body.next is not None:
        return True
    if entity.paging.style == "link":
        return False
    names_next = adapter.file.body.next is not None
    return (body.total or 0) > page * entity.paging.size or (not names_next and body.records >= entity.paging.size)
