"""First loads: many rows of an organisation that has no rows in the table yet are stored by COPY, at half the cost.

The rows may exist nevertheless. If one does, if the organisation has rejected records of the entity (a row that is
stored clears its rejection), or if the database refuses anything else, the transaction is undone and the pages take
the upsert path.
"""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from datetime import datetime

import asyncpg

from agents.ports import PageOutcome, PageWrite
from service.sinks.postgres.commit import LEDGER_STATEMENT, SQL, ledger_arguments
from service.sinks.postgres.connection import REFUSED_CLASSES, Connection
from service.sinks.postgres.copying import UnencodableValue, copy_rows
from service.sinks.postgres.runs import enter_pages
from service.sinks.schema import EntityTable

LOAD_ROWS_MIN = 200  # for fewer, the upsert path with one statement is cheaper than these four
RUNS_REMEMBERED_MAX = 10_000  # the oldest is removed, and checked again at its next commit

# 0A not supported by COPY (row security), 40 a deadlock. The caller handles anything else.
_REFUSED_CLASSES = REFUSED_CLASSES | {"0A", "40"}


class _NotNew(Exception):
    """The ledger holds a page, a run is closed, or records were rejected: the upsert path sees to that."""


class FirstLoads:
    """Whether a run's organisation had rows in the table when this process checked it."""

    def __init__(self) -> None:
        self._is_first: dict[str, bool] = {}  # by run, the oldest first

    async def load(
        self, connection: Connection, pages: Sequence[PageWrite], table: EntityTable, moment: datetime
    ) -> list[PageOutcome] | None:
        """Commit in one transaction, or return None with nothing written: the pages must take the upsert path."""
        is_large = sum(len(page.rows) for page in pages) >= LOAD_ROWS_MIN
        checked = {page.run.id: page.run.org for page in pages if is_large or not page.is_last}
        await self._check(connection, checked, table)
        if not is_large or any(page.rejected or not self._is_first.get(page.run.id) for page in pages):
            return None
        try:
            return await _load(connection, pages, table, moment)
        except (_NotNew, UnencodableValue, asyncpg.PostgresError) as error:
            if isinstance(error, asyncpg.PostgresError) and (error.sqlstate or "")[:2] not in _REFUSED_CLASSES:
                raise
            self._remember({page.run.id for page in pages}, is_first=False)
            return None

    async def _check(self, connection: Connection, orgs: Mapping[str, str], table: EntityTable) -> None:
        """Find out once for each run whether its organisation has rows. `orgs` is by run."""
        orgs = {run: org for run, org in orgs.items() if run not in self._is_first}
        if orgs:
            found = await connection.fetch(SQL["orgs_with_rows"].format(table=table.name), list(set(orgs.values())))
            known = {row["org"] for row in found}
            self._remember({run for run, org in orgs.items() if org in known}, is_first=False)
            self._remember({run for run, org in orgs.items() if org not in known}, is_first=True)

    def _remember(self, runs: Collection[str], is_first: bool) -> None:
        self._is_first.update(dict.fromkeys(runs, is_first))
        while len(self._is_first) > RUNS_REMEMBERED_MAX:
            del self._is_first[next(iter(self._is_first))]


async def _load(
    connection: Connection, pages: Sequence[PageWrite], table: EntityTable, moment: datetime
) -> list[PageOutcome]:
    """Rows come first, so that a process that is frozen between the statements does not lock the run or its ledger.
    If two processes have the same lease, the upsert path of one may lock the run and wait for rows of the other: a
    deadlock. The server undoes one transaction, and that process retries.
    """
    rows = copy_rows(pages, table)
    async with connection.transaction():
        await connection.copy_to_table(table.name, source=_chunk(rows), columns=table.column_names, format="binary")
        outcomes = await enter_pages(connection, LEDGER_STATEMENT, ledger_arguments(pages, moment))
        if not outcomes or any(outcome.status != "committed" for outcome in outcomes):
            raise _NotNew
    return outcomes


async def _chunk(data: bytes) -> AsyncIterator[bytes]:
    yield data
