"""Runs and their ledger in PostgreSQL: opened, read, entered into, closed. Each call is one statement, or is said to be
part of the caller's transaction."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import asyncpg

from agents.ports import (
    ClosedRun,
    LeaseRequest,
    LeaseState,
    LedgerLine,
    PageOutcome,
    RunEnd,
    RunRef,
    RunTotals,
)
from service.sinks.postgres.tables import Connection

_GRANT = """
select
    granted.*,
    case when granted.state is distinct from 'open' then (
        select max(known.number) from sluice_runs as known where known.workflow = ($2::text[])[granted.ask]
    ) end as newest
from sluice_grant($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) as granted
"""
_CLOSE = "select outcome, pages, records, rejected from sluice_close_runs($1, $2, $3, $4, $5, $6, $7, $8, $9)"


async def grant_leases(connection: Connection, asks: Sequence[LeaseRequest], moment: datetime) -> list[LeaseState]:
    named = [(number, parent) for number, ask in enumerate(asks, start=1) for parent in ask.parents]
    found = await connection.fetch(
        _GRANT,
        *_named_runs([ask.run for ask in asks]),
        [ask.first for ask in asks],
        [ask.units for ask in asks],
        [number for number, _ in named],
        [parent for _, parent in named],
        moment,
    )
    return _grants(found, len(asks))


async def close_runs(connection: Connection, ends: Sequence[RunEnd], moment: datetime) -> list[ClosedRun]:
    runs, outcomes = _named_runs([end.run for end in ends]), [end.outcome for end in ends]
    found = await connection.fetch(_CLOSE, *runs, outcomes, moment)
    return [ClosedRun(outcome, RunTotals(*sums)) for outcome, *sums in found]


async def enter_pages(connection: Connection, statement: str, arguments: Sequence[object]) -> list[PageOutcome]:
    """What the statement says of each page."""
    return [PageOutcome(*found) for found in await connection.fetch(statement, *arguments)]


def _named_runs(runs: Sequence[RunRef]) -> list[list[object]]:
    """The columns in which every function takes its runs."""
    named = ((run.id, run.workflow, run.number, run.org, run.adapter, run.entity, run.type) for run in runs)
    return [list(column) for column in zip(*named, strict=True)]


def _grants(found: Sequence[asyncpg.Record], asks: int) -> list[LeaseState]:
    grants = [LeaseState(False)] * asks
    lines: list[list[LedgerLine]] = [[] for _ in range(asks)]
    for number, state, pages, records, rejected, *line, newest in found:
        done = RunTotals(pages, records, rejected) if state == "done" else None
        grants[number - 1] = LeaseState(state == "open", (), done, newest)
        if line[1] is not None:
            lines[number - 1].append(LedgerLine(*line))
    return [replace(grant, lines=tuple(its)) if its else grant for grant, its in zip(grants, lines, strict=True)]
