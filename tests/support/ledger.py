"""Committed pages as the database has them, under the names that the simulator's journal uses."""

import sqlite3
from contextlib import closing
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import asyncpg

from agents.ports import Parent, ParentsRequest
from manifests.entity import path_columns
from manifests.loader import load_packaged
from service.api.requests import page_request
from service.clock import SystemClock
from service.sinks import open_sink

Page = tuple[str, tuple[tuple[str, str], ...]]

PARENTS_MAX = 10_000
_LINES = """select runs.entity as entity, pages.parent as parent, pages.start_offset as start
    from sluice_pages as pages join sluice_runs as runs on runs.run_id = pages.run_id"""
_DONE = "select entity from sluice_runs where state = 'done'"


def page_name(target: str) -> Page:
    """A page by its path and its parameters, however they were written."""
    parts = urlsplit(target)
    return parts.path, tuple(sorted(parse_qsl(parts.query)))


async def query(url: str, sql: str) -> list[tuple[Any, ...]]:
    """Run any SQL on a database, past its sink, and commit it; the rows, if it has any."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as file:
            return file.execute(sql).fetchall()
    server = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await server.fetch(sql)]
    finally:
        await server.close()


async def committed_lines(url: str) -> tuple[list[tuple[str, str, int]], set[str]]:
    """The ledger's lines (entity, parent, offset), and the entities whose run is done and folded away."""
    done = {str(entity) for (entity,) in await query(url, _DONE)}
    return [(entity, parent, start) for entity, parent, start in await query(url, _LINES)], done


async def requested_pages(url: str, org: str, lines: list[tuple[str, str, int]]) -> set[Page]:
    """The pages of the API behind lines of the ledger."""
    adapter = load_packaged().adapter("pco")
    sink = open_sink(url, SystemClock())
    parents: dict[str, dict[str, Parent]] = {}
    try:
        for name in {entity for entity, parent, _ in lines if parent}:
            entity = adapter.entities[name]
            assert entity.under is not None
            above = adapter.entities[entity.under.entity]
            found = await sink.parents(ParentsRequest("pco", above, org, path_columns(entity), None, PARENTS_MAX))
            parents[name] = {parent.key: parent for parent in found}
    finally:
        await sink.close()
    pages: set[Page] = set()
    for name, key, start in lines:
        parent = parents[name][key] if key else None
        request = page_request(adapter.file, adapter.entities[name], org, "http://simulator", start, parent=parent)
        pages.add(page_name(request.target))
    return pages
