"""Runs and their ledger in SQLite: opened, read, closed. Every function runs inside the caller's transaction."""

import sqlite3
from collections.abc import Sequence
from datetime import datetime
from itertools import chain
from typing import Any

from agents.ledger import Extent
from agents.ports import ClosedRun, LeaseRequest, LeaseState, LedgerLine, RunEnd, RunRef
from service.sinks.sink import proof_text
from service.sinks.sqlite.rows import SQL
from topics.command import Counts


def run_state(connection: sqlite3.Connection, run: RunRef) -> str | None:
    """The run's state in the database, None for an unknown run."""
    found = connection.execute(SQL["run"], (run.id,)).fetchone()
    return None if found is None else str(found[0])


def open_run(connection: sqlite3.Connection, run: RunRef, moment: str) -> None:
    """Open the run unless it, or a newer one of its workflow, exists; close the one before as superseded, if it is
    open. No older one can be."""
    newest = _newest(connection, run)
    if newest is not None and newest >= run.number:
        return
    connection.execute(SQL["supersede_run"], (moment, run.workflow, newest))
    _insert(connection, run, "open", moment, None)


def close_run(connection: sqlite3.Connection, end: RunEnd, moment: str) -> ClosedRun | None:
    """Close the run, which may be unknown, and add its ledger lines to its sums. A closed run keeps its outcome.

    None: it is left open, since its ledger has not as many pages as its proof says.
    """
    run, outcome = end.run, end.outcome
    open_run(connection, run, moment)
    known = run_state(connection, run)
    if known is None:
        _insert(connection, run, outcome, moment, moment)
    if known == "open" and end.proof is not None and _lines_count(connection, run) != end.proof.pages:
        return None
    connection.execute(SQL["close_run"], (outcome, moment, proof_text(end), run.id))
    connection.execute(SQL["fold_lines"], {"run_id": run.id})
    if known == "open" and outcome == "done" and not run.verify:
        connection.execute(SQL["note_parents"], (run.id,))
    connection.execute(SQL["delete_lines"], (run.id,))
    if known == "open" and outcome == "done" and end.proof is not None and end.proof.changes is not None:
        moved = (run.org, run.adapter, run.entity, end.proof.changes.watermark, run.id, moment)
        connection.execute(SQL["move_watermark"], moved)
    state, *counts, _, _ = connection.execute(SQL["run"], (run.id,)).fetchone()
    return ClosedRun(outcome if state == "superseded" else state, Counts(*counts))


def lease_state(connection: sqlite3.Connection, request: LeaseRequest) -> LeaseState:
    found = connection.execute(SQL["run"], (request.run.id,)).fetchone() or ("unknown", "", None)
    state, *counts, remark, since = found
    if state == "open":
        return LeaseState(True, _ledger(connection, request), since=datetime.fromisoformat(since) if since else None)
    done = Counts(*counts) if state == "done" else None
    return LeaseState(False, done=done, newest=_newest(connection, request.run), remark=remark)


def ignore_watermark(connection: sqlite3.Connection, run: RunRef, moment: str) -> None:
    connection.execute(SQL["ignore_watermark"], (moment, run.id))
    connection.execute(SQL["forget_since"], (run.id,))


def line_of(connection: sqlite3.Connection, run: RunRef, parent: str, page: int) -> LedgerLine | None:
    found = _lines(connection.execute(SQL["line"], (run.id, parent, page)).fetchall())
    return found[0] if found else None


def _ledger(connection: sqlite3.Connection, request: LeaseRequest) -> tuple[LedgerLine, ...]:
    """The lines of the pages, or of the parents, that the request names."""
    run = request.run.id
    if not request.parents:
        found = connection.execute(SQL["lines_by_page"], (run, request.first, request.first + request.units))
        return _lines(found.fetchall())
    parents = sorted(set(request.parents))
    by_parent = (connection.execute(SQL["lines_by_parent"], (run, parent)).fetchall() for parent in parents)
    return _lines(list(chain.from_iterable(by_parent)))


def _lines_count(connection: sqlite3.Connection, run: RunRef) -> int:
    (count,) = connection.execute(SQL["count_lines"], (run.id,)).fetchone()
    return int(count)


def _newest(connection: sqlite3.Connection, run: RunRef) -> int | None:
    (number,) = connection.execute(SQL["newest_run"], (run.workflow,)).fetchone()
    return None if number is None else int(number)


def _insert(connection: sqlite3.Connection, run: RunRef, state: str, opened_at: str, closed_at: str | None) -> None:
    named = (run.id, run.workflow, run.number, run.org, run.adapter, run.entity, run.type)
    connection.execute(SQL["insert_run"], (*named, state, opened_at, closed_at))


def _lines(found: Sequence[tuple[Any, ...]]) -> tuple[LedgerLine, ...]:
    return tuple(
        LedgerLine(parent, page, Counts(1, records, rejected), bool(is_last), next_cursor, Extent(*extent))
        for parent, page, records, rejected, is_last, next_cursor, *extent in found
    )
