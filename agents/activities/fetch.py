"""The activity behind `fetch-page`: each page costs one call of the API and its share of a database transaction.

A page that the ledger holds is reported again and not fetched again. A lease ends when its units are done, when the
source ends, when something fails, or when its time is up; it reports how far it got, and the decider leases the rest.
"""

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta

from agents.activities.changes import FilterIgnored
from agents.activities.closing import close
from agents.activities.database import Database, Sleep
from agents.activities.lease import PAGES_MAX, Lease
from agents.activities.pages import Pages
from agents.activities.paging import read_chain, read_numbered, read_parents
from agents.activities.range_lock import RangeLock
from agents.activities.results import REPORTABLE, Fenced, failure_of, report
from agents.ports import Clock, LeaseRequest, LeaseState, RunRef, Source
from manifests.delta import changes_since
from manifests.entity import Adapter, Entity
from topics.errors import Rejected, Retryable, shortened
from topics.kinds.entity import FetchPages, PageDone
from topics.kinds.sync import DELTA

FUTURE_MAX = timedelta(minutes=10)  # that a watermark may be ahead of our clock, which may be wrong

log = logging.getLogger("sluice.activities")


class LeaseReader:
    """Runs `fetch-page` commands. Safe to run twice, at once or after a crash: the ledger decides."""

    def __init__(
        self, source: Source, database: Database, adapters: Mapping[str, Adapter], clock: Clock, sleep: Sleep
    ) -> None:
        self._source = source
        self._database = database
        self._adapters = adapters
        self._clock = clock
        self._sleep = sleep
        self._ranges = RangeLock()

    async def read(self, command: FetchPages) -> PageDone:
        """Fetch and commit what the lease asks for. Never raises what a decider should know about."""
        units = range(PAGES_MAX) if command.closing else range(command.first, command.first + command.units)
        async with self._ranges.acquire(_run(command).id, units):
            return await self._reported(command)

    async def _reported(self, command: FetchPages) -> PageDone:
        started = self._clock.monotonic()
        state: LeaseState | None = None
        try:
            done = await self._read(command, started)
        except REPORTABLE as error:
            elapsed_ms = int((self._clock.monotonic() - started) * 1000)
            done = report(command, [failure_of(error)], elapsed_ms)
            state = error.state if isinstance(error, Fenced) else None
        except BaseExceptionGroup as several:
            raise _first(several) from several  # the process looks at its kind
        return await self._explained(command, done, state) if done.error == "fenced" else done

    async def _read(self, command: FetchPages, started: float) -> PageDone:
        adapter = self._adapters.get(command.adapter)
        if adapter is None or command.entity not in adapter.entities:
            raise Rejected(f"{command.adapter} has no entity {command.entity!r} here")
        entity = adapter.entities[command.entity]
        since = await self._since(command)
        try:
            return await self._read_entity(command, adapter, entity, since, started)
        except BaseExceptionGroup as several:
            if not isinstance(_first(several), FilterIgnored):
                raise
            await self._ignore_watermark(command, since, "the API ignores the filter by changes: everything is read")
            return await self._read_entity(command, adapter, entity, None, started)

    async def _since(self, command: FetchPages) -> datetime | None:
        """From where on a delta reads; None: everything."""
        if command.type != DELTA:
            return None
        state = await self._database.open_lease(LeaseRequest(_run(command), command.first, 0))
        if not state.is_open:
            raise Fenced(state)
        if state.since is not None and state.since > self._clock.now() + FUTURE_MAX:
            why = "the watermark is in the future: everything is read; `sluice watermarks reset` takes it away"
            await self._ignore_watermark(command, state.since, why)
            return None
        return state.since

    async def _ignore_watermark(self, command: FetchPages, since: datetime | None, why: str) -> None:
        """For the whole run: pages of two lists would prove nothing together."""
        log.warning(why, extra={"sluice.workflow": command.workflow, "sluice.since": str(since)})
        await self._database.ignore_watermark(_run(command))

    async def _read_entity(
        self, command: FetchPages, adapter: Adapter, entity: Entity, since: datetime | None, started: float
    ) -> PageDone:
        read = entity if since is None else changes_since(adapter.file, entity, since)
        pages = Pages(
            _run(command), adapter, read, self._source, self._database, self._clock, self._sleep, command.first, since
        )
        lease = Lease(command, pages, started)
        above = adapter.entities[entity.under.entity] if entity.under else None
        if command.closing:
            return await close(lease, above)
        done = await _units(lease, above)
        return await _closed(lease, above, done) if done.end and command.closes else done

    async def _explained(self, command: FetchPages, done: PageDone, state: LeaseState | None) -> PageDone:
        """A fenced lease with the run's counts, if it is complete; or with the number that is in its way.

        If the database cannot say that yet, the lease is retried: a complete run must not begin anew.
        """
        try:
            state = state or await self._database.open_lease(LeaseRequest(_run(command), command.first, 1))
        except (Retryable, Rejected) as error:
            reason = shortened(f"{done.reason}; which, is not known: {error}")
            return done.model_copy(update={"error": "retryable", "reason": reason})
        if state.done is None:
            return done.model_copy(update={"newest": state.newest})
        return done.model_copy(update={"closed": state.done, "remark": state.remark, "error": None, "reason": ""})


async def _units(lease: Lease, above: Entity | None) -> PageDone:
    if above is not None:
        return await read_parents(lease, above)
    return await (read_chain(lease) if lease.layout.is_linked else read_numbered(lease))


async def _closed(lease: Lease, above: Entity | None, done: PageDone) -> PageDone:
    """With the run's counts: this lease was all that it waited for. If not now, the decider has it closed."""
    try:
        closed = await close(lease, above)
    except (Retryable, Rejected, Fenced):
        return done
    counts = done.counts + closed.counts
    more = {"pages": counts.pages, "records": counts.records, "rejected": counts.rejected}
    return done.model_copy(update={"closed": closed.closed, "remark": closed.remark, **more})


def _run(command: FetchPages) -> RunRef:
    names = (command.org, command.adapter, command.entity, command.type)
    return RunRef(command.workflow, command.run, *names, command.verify)


def _first(several: BaseExceptionGroup[BaseException]) -> BaseException:
    error = several.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
