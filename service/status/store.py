"""The store of published state: written by the projector, read by the command line. In SQLite or PostgreSQL."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from agents.core.registry import Registry
from service.status.rows import StatusRows
from topics.errors import Broken

LISTED_MAX = 200  # runs or timeline entries that one call returns
# Runs of a workflow, those with the highest numbers, among which its newest is looked for. It is the first of them, or
# one of the next: a frozen process may have begun runs with higher numbers, but few.
RUNS_COMPARED_MAX = 16
Position = tuple[datetime | str, str]  # in a table's order of time: a time as the database returns it, and an id


class TimelineEntry(NamedTuple):
    """A notable transition: its number, its time, the id of the command that caused it, and its event.

    Where a request was accepted: its `request_id`, and the run that it started or was attached to (empty: none yet).
    """

    seq: int
    at: datetime
    cause: str
    event: str
    request_id: str
    run_id: str


class StatusStore(ABC):
    """The status tables. Raises Retryable and Rejected as a sink does. States are of the installation's kinds."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    @abstractmethod
    async def prepare(self) -> None:
        """Create the tables, or migrate them to this version."""

    @abstractmethod
    async def publish(self, rows: StatusRows) -> None:
        """Write the rows that are newer than the stored ones, in one transaction."""

    @abstractmethod
    async def close(self) -> None: ...

    async def runs(self, kind: str, name: str = "", limit: int = LISTED_MAX) -> Sequence[Any]:
        """States of a kind's runs, the newest first: those with this run id, workflow key or request id, or all."""
        if name:
            return await self._states("named_runs", kind, limit, name)
        return await self._states("newest_runs", kind, limit)

    async def children(self, run_id: str) -> Sequence[Any]:
        """States of the runs that a run started, by workflow."""
        return await self._states("children", run_id)

    async def timeline(self, workflow: str) -> Sequence[TimelineEntry]:
        """The newest entries first."""
        found = await self._fetch("timeline", workflow, LISTED_MAX)
        return [msgspec.convert(row, TimelineEntry) for row in found]

    async def newest_event(self) -> datetime | None:
        """The broker's time of the newest entry of any timeline."""
        ((at,),) = await self._fetch("newest_event")
        return msgspec.convert(at, datetime | None)

    async def find_batch(
        self, statement: str, before: datetime, after: Position, rows: int, arguments: Sequence[object]
    ) -> Position | None:
        """The last of the next so many old rows behind a position; None if there is none."""
        found = await self._fetch(statement, before, *after, rows, *arguments)
        return (found[0][0], found[0][1]) if found else None

    async def remove(
        self, statement: str, before: datetime, after: Position, until: Position, arguments: Sequence[object]
    ) -> int:
        """Remove what may go of a batch, in one transaction; the number of removed rows."""
        return await self._remove(statement, before, *after, *until, *arguments)

    @abstractmethod
    async def _remove(self, statement: str, *arguments: object) -> int:
        """The number of rows that the named statement removes."""

    @abstractmethod
    async def _fetch(self, statement: str, *arguments: object) -> Sequence[tuple[Any, ...]]:
        """The rows that the named statement finds."""

    async def _states(self, statement: str, *arguments: object) -> Sequence[Any]:
        try:
            return [self._registry.read_state(state) for (state,) in await self._fetch(statement, *arguments)]
        except msgspec.DecodeError as error:
            raise Broken(
                f"a published state is unreadable ({error}): run the projector's version or a newer one"
            ) from None
