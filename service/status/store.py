"""The store of published state: written by the projector, read by the command line. In SQLite or PostgreSQL."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from agents.core.registry import Registry
from service.clock import Clock
from service.kafka.journal import Journal
from service.status.progress import Progress, Step
from service.status.rows import StatusRows, lost_rows
from topics.errors import Broken

LISTED_MAX = 200  # runs or timeline entries that one call returns
LOST_READ_MAX = 1_000  # open runs of a former journal that are read at once
LOST = "it had not ended when its Kafka cluster, or its journal there, was replaced: start it again"
# Runs of a workflow, those with the highest numbers, among which its newest is looked for. It is the first of them, or
# one of the next: a frozen process may have begun runs with higher numbers, but few.
RUNS_COMPARED_MAX = 16
Position = tuple[datetime | str, str]  # in a table's order of time: a time as the database returns it, and an id


class TimelineEntry(NamedTuple):
    """A notable transition: its number, its time, the id of the command that caused it, and its event.

    Where a request was accepted: its `request_id`, and the run that it started or was attached to (empty: none yet).
    `journal` is Kafka's id of the journal that says so, empty for one of an older program.
    """

    seq: int
    at: datetime
    cause: str
    event: str
    request_id: str
    run_id: str
    journal: str = ""


class Met(NamedTuple):
    """A journal as the database knows it: its number, and the identity of the one before it, if it is new here.

    `lost` are the runs of the former one that had not ended.
    """

    number: int
    former: Journal | None = None
    lost: tuple[Any, ...] = ()


class StatusStore(ABC):
    """The status tables. Raises Retryable and Rejected as a sink does. States are of the installation's kinds."""

    def __init__(self, registry: Registry, clock: Clock) -> None:
        self._registry = registry
        self._clock = clock

    @abstractmethod
    async def prepare(self) -> None:
        """Create the tables, or migrate them to this version."""

    @abstractmethod
    async def meet(self, journal: Journal) -> Met:
        """Make this the present journal. Where another one was: its runs that have not ended have failed."""

    @abstractmethod
    async def progress(self, journal: int, partitions: Sequence[int]) -> Mapping[int, Progress]:
        """How far each partition of a journal (its number) is published."""

    @abstractmethod
    async def publish(
        self, rows: StatusRows, journal: int, steps: Sequence[Step] = (), suspects: Sequence[object] = ()
    ) -> Sequence[str] | None:
        """Write the rows that are newer than the stored ones, and the progress, in one transaction.

        None, and nothing written, if the stored progress is not the one before the steps: the database is not as it
        was left. `suspects` are ids of runs that are done: those whose rows are found to be missing are returned.
        """

    @abstractmethod
    async def close(self) -> None: ...

    async def runs(self, kind: str, name: str = "", limit: int = LISTED_MAX) -> Sequence[Any]:
        """States of a kind's runs, the newest first: those with this run id, workflow key or request id, or all."""
        if name:
            return self._states(await self._fetch("named_runs", kind, limit, name))
        return self._states(await self._fetch("newest_runs", kind, limit))

    async def children(self, run_id: str) -> Sequence[Any]:
        """States of the runs that a run started, by workflow."""
        return self._states(await self._fetch("children", run_id))

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

    def _lost(self, states: Sequence[Any]) -> StatusRows:
        return lost_rows(self._registry, states, LOST, int(self._clock.now().timestamp() * 1000))

    async def missing(self) -> Mapping[str, Sequence[str]]:
        """Runs that are done while their rows are missing, and whose workflows had no later run that is done, by the
        run that started them."""
        found: dict[str, list[str]] = {}
        for parent, run in await self._fetch("missing", LISTED_MAX):
            found.setdefault(parent, []).append(run)
        return found

    def _states(self, found: Iterable[Sequence[Any]]) -> list[Any]:
        try:
            return [self._registry.read_state(state) for (state,) in found]
        except msgspec.DecodeError as error:
            raise Broken(
                f"a published state is unreadable ({error}): run the projector's version or a newer one"
            ) from None
