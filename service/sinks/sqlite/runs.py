"""Runs and their ledger in SQLite: opened, read, closed. Every function runs inside the caller's transaction."""

import sqlite3
from collections.abc import Sequence
from itertools import chain

from agents.ports import ClosedRun, LeaseRequest, LeaseState, LedgerLine, RunEnd, RunRef, RunTotals

_LINE = "parent, page, records, rejected, is_last, next_cursor"
_BY_PAGE = f"""
select {_LINE} from sluice_pages where run_id = ? and parent = '' and page >= ? and page < ? order by page
"""
_BY_PARENT = f"select {_LINE} from sluice_pages where run_id = ? and parent = ? order by page"


def is_known(connection: sqlite3.Connection, run: RunRef) -> bool:
    return connection.execute("select 1 from sluice_runs where run_id = ?", (run.id,)).fetchone() is not None


def is_open(connection: sqlite3.Connection, run: RunRef) -> bool:
    query = "select 1 from sluice_runs where run_id = ? and state = 'open'"
    return connection.execute(query, (run.id,)).fetchone() is not None


def open_run(connection: sqlite3.Connection, run: RunRef, moment: str) -> None:
    """Open the run unless it, or a newer one of its workflow, is known; close older ones as superseded."""
    query = "select 1 from sluice_runs where workflow = ? and number >= ?"
    if connection.execute(query, (run.workflow, run.number)).fetchone() is not None:
        return
    connection.execute(
        "update sluice_runs set state = 'superseded', closed_at = ? where workflow = ? and state = 'open'",
        (moment, run.workflow),
    )
    _insert(connection, run, "open", moment, None)


def close_run(connection: sqlite3.Connection, end: RunEnd, moment: str) -> ClosedRun:
    """Close the run, known or not, and fold its ledger lines into its own; a closed run keeps its outcome."""
    run, outcome = end.run, end.outcome
    open_run(connection, run, moment)
    if not is_known(connection, run):
        _insert(connection, run, outcome, moment, moment)
    connection.execute(
        "update sluice_runs set state = ?, closed_at = ? where run_id = ? and state = 'open'", (outcome, moment, run.id)
    )
    connection.execute(
        """
        update sluice_runs set pages = sluice_runs.pages + folded.pages, records = sluice_runs.records + folded.records,
            rejected = sluice_runs.rejected + folded.rejected
        from (
            select count(*) as pages, coalesce(sum(records), 0) as records, coalesce(sum(rejected), 0) as rejected
            from sluice_pages where run_id = :run_id
        ) as folded
        where run_id = :run_id
        """,
        {"run_id": run.id},
    )
    connection.execute("delete from sluice_pages where run_id = ?", (run.id,))
    query = "select state, pages, records, rejected from sluice_runs where run_id = ?"
    state, *sums = connection.execute(query, (run.id,)).fetchone()
    return ClosedRun(outcome if state == "superseded" else state, RunTotals(*sums))


def grant(connection: sqlite3.Connection, ask: LeaseRequest) -> LeaseState:
    query = "select state, pages, records, rejected from sluice_runs where run_id = ?"
    state, *sums = connection.execute(query, (ask.run.id,)).fetchone() or ("unknown",)
    if state == "open":
        return LeaseState(True, ledger(connection, ask))
    (newest,) = connection.execute(
        "select max(number) from sluice_runs where workflow = ?", (ask.run.workflow,)
    ).fetchone()
    return LeaseState(False, done=RunTotals(*sums) if state == "done" else None, newest=newest)


def ledger(connection: sqlite3.Connection, ask: LeaseRequest) -> tuple[LedgerLine, ...]:
    """The lines of the pages, or of the parents, that the ask names."""
    if not ask.parents:
        return _lines(connection.execute(_BY_PAGE, (ask.run.id, ask.first, ask.first + ask.units)).fetchall())
    found = (connection.execute(_BY_PARENT, (ask.run.id, parent)).fetchall() for parent in sorted(set(ask.parents)))
    return _lines(list(chain.from_iterable(found)))


def line_of(connection: sqlite3.Connection, run: RunRef, parent: str, page: int) -> LedgerLine | None:
    """What the ledger holds of a page."""
    query = f"select {_LINE} from sluice_pages where run_id = ? and parent = ? and page = ?"
    found = _lines(connection.execute(query, (run.id, parent, page)).fetchall())
    return found[0] if found else None


def _insert(connection: sqlite3.Connection, run: RunRef, state: str, opened_at: str, closed_at: str | None) -> None:
    connection.execute(
        """
        insert into sluice_runs
            (run_id, workflow, number, org, adapter, entity, type, state, opened_at, closed_at)
        values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        """,
        (run.id, run.workflow, run.number, run.org, run.adapter, run.entity, run.type, state, opened_at, closed_at),
    )


def _lines(found: Sequence[tuple[str, int, int, int, int, str | None]]) -> tuple[LedgerLine, ...]:
    return tuple(
        LedgerLine(parent, page, records, rejected, bool(is_last), next_cursor)
        for parent, page, records, rejected, is_last, next_cursor in found
    )
