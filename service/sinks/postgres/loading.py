"""The first load of an organisation: many rows of which none can be there yet go in by COPY, at half the cost.

Nothing rests on the guess that they are new. A row that is there after all, or anything else that the database
refuses, undoes the whole transaction, and the pages go the careful way.
"""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from datetime import datetime

import asyncpg

from agents.ports import PageOutcome, PageWrite
from service.sinks.postgres.copying import UnencodableValue, copy_columns, copy_rows
from service.sinks.postgres.errors import REFUSED_CLASSES
from service.sinks.postgres.runs import enter_pages
from service.sinks.postgres.statements import LEDGER_STATEMENT, ledger_arguments
from service.sinks.postgres.tables import Connection
from service.sinks.schema import EntityTable

LOAD_ROWS_MIN = 200  # below, the one statement of the careful way is cheaper than the four steps of this one
RUNS_REMEMBERED_MAX = 10_000  # the oldest is forgotten, and looked at again when it comes back

_ORGS_WITH_ROWS = """
select asked.org from unnest($1::text[]) as asked (org)
where exists (select from "{table}" as stored where stored.org = asked.org)
"""
# 0A what COPY cannot do (row security), 40 a deadlock. Anything else is for whoever called.
_REFUSED_CLASSES = REFUSED_CLASSES | {"0A", "40"}


class _NotNew(Exception):
    """A page that the ledger holds, or a run that is closed: the careful way says which."""


class FirstLoads:
    """Which runs are the first to bring rows of their organisation, as far as this process has seen."""

    def __init__(self) -> None:
        self._is_first: dict[str, bool] = {}  # by run, the oldest first

    async def load(
        self, connection: Connection, pages: Sequence[PageWrite], table: EntityTable, moment: datetime
    ) -> list[PageOutcome] | None:
        """One transaction, as `commit_statement` makes it; None if it has to be that one, and nothing was written."""
        is_large = sum(len(page.rows) for page in pages) >= LOAD_ROWS_MIN
        worth_knowing = {page.run.id: page.run.org for page in pages if is_large or not page.is_last}
        await self._look(connection, worth_knowing, table)
        if not is_large or any(page.rejected or not self._is_first.get(page.run.id) for page in pages):
            return None
        try:
            return await _load(connection, pages, table, moment)
        except (_NotNew, UnencodableValue, asyncpg.PostgresError) as error:
            if isinstance(error, asyncpg.PostgresError) and (error.sqlstate or "")[:2] not in _REFUSED_CLASSES:
                raise
            self._remember({page.run.id for page in pages}, is_first=False)
            return None

    async def _look(self, connection: Connection, orgs: Mapping[str, str], table: EntityTable) -> None:
        """Once for each run: whether its organisation has rows yet. `orgs` is by run."""
        orgs = {run: org for run, org in orgs.items() if run not in self._is_first}
        if orgs:
            found = await connection.fetch(_ORGS_WITH_ROWS.format(table=table.name), list(set(orgs.values())))
            there = {row["org"] for row in found}
            self._remember({run for run, org in orgs.items() if org in there}, is_first=False)
            self._remember({run for run, org in orgs.items() if org not in there}, is_first=True)

    def _remember(self, runs: Collection[str], is_first: bool) -> None:
        self._is_first.update(dict.fromkeys(runs, is_first))
        while len(self._is_first) > RUNS_REMEMBERED_MAX:
            del self._is_first[next(iter(self._is_first))]


async def _load(
    connection: Connection, pages: Sequence[PageWrite], table: EntityTable, moment: datetime
) -> list[PageOutcome]:
    """The rows first: whoever is frozen between two steps then holds neither the run nor its ledger for long. Where two
    processes have the same lease, the careful way may hold the run and wait for such a row; then the server undoes one
    of them, and that one tries again.
    """
    rows = copy_rows(pages, table)
    async with connection.transaction():
        await connection.copy_to_table(table.name, source=_whole(rows), columns=copy_columns(table), format="binary")
        outcomes = await enter_pages(connection, LEDGER_STATEMENT, ledger_arguments(pages, moment))
        if any(outcome.status != "committed" for outcome in outcomes):
            raise _NotNew
    return outcomes


async def _whole(data: bytes) -> AsyncIterator[bytes]:
    yield data
