"""Runs and their ledger in PostgreSQL: opened, read, written, closed. Each call is one statement."""

from collections.abc import Sequence
from datetime import datetime

import asyncpg
from msgspec.structs import replace

from agents.ledger import Extent
from agents.ports import ClosedRun, LeaseRequest, LeaseState, LedgerLine, PageOutcome, RunEnd, RunRef
from service.sinks.postgres.commit import SQL
from service.sinks.postgres.connection import Connection
from service.sinks.sink import proof_text
from topics.command import Counts


async def open_leases(connection: Connection, requests: Sequence[LeaseRequest], moment: datetime) -> list[LeaseState]:
    named = [(number, parent) for number, request in enumerate(requests, start=1) for parent in request.parents]
    found = await connection.fetch(
        SQL["open_leases"],
        *_run_columns([request.run for request in requests]),
        [request.first for request in requests],
        [request.units for request in requests],
        [number for number, _ in named],
        [parent for _, parent in named],
        moment,
    )
    return _lease_states(found, len(requests))


async def close_runs(connection: Connection, ends: Sequence[RunEnd], moment: datetime) -> list[ClosedRun | None]:
    runs, outcomes = _run_columns([end.run for end in ends]), [end.outcome for end in ends]
    found = await connection.fetch(SQL["close_runs"], *runs, outcomes, moment, [proof_text(end) for end in ends])
    return [None if outcome is None else ClosedRun(outcome, Counts(*counts)) for outcome, *counts in found]


async def enter_pages(connection: Connection, statement: str, arguments: Sequence[object]) -> list[PageOutcome]:
    """The outcome of each page; a fenced page has no counts."""
    return [
        PageOutcome(status, Counts(int(status != "fenced"), records, rejected), is_last, next_cursor)
        for status, records, rejected, is_last, next_cursor in await connection.fetch(statement, *arguments)
    ]


def _run_columns(runs: Sequence[RunRef]) -> list[list[object]]:
    """The first arguments of every function: an array for each field of a run."""
    named = ((run.id, run.workflow, run.number, run.org, run.adapter, run.entity, run.type) for run in runs)
    return [list(column) for column in zip(*named, strict=True)]


def _lease_states(found: Sequence[asyncpg.Record], requests: int) -> list[LeaseState]:
    states = [LeaseState(False)] * requests
    lines: list[list[LedgerLine]] = [[] for _ in range(requests)]
    for row in found:
        done = Counts(row["run_pages"], row["run_records"], row["run_rejected"]) if row["state"] == "done" else None
        states[row["ask"] - 1] = LeaseState(
            row["state"] == "open", (), done, row["newest"], row["remark"], row["since"]
        )
        if row["page"] is not None:
            lines[row["ask"] - 1].append(_line(row))
    return [replace(state, lines=tuple(own)) if own else state for state, own in zip(states, lines, strict=True)]


def _line(row: asyncpg.Record) -> LedgerLine:
    counts = Counts(1, row["records"], row["rejected"])
    span = (row["start_offset"], row["first_position"], row["last_position"])
    extent = Extent(*span, row["total"], row["asked_at"], row["newest_change"])
    return LedgerLine(row["parent"], row["page"], counts, row["is_last"], row["next_cursor"], extent)
