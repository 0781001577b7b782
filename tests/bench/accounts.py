"""The accounts of what happened: commits by the database's, whoever wrote them, and requests by the API's journal."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TypeAlias

import asyncpg

from tests.bench.api import PERIOD_SECONDS, Request

Commits = Mapping[tuple[str, int], float]  # organisation and page (from 0) -> Unix seconds
Database: TypeAlias = "asyncpg.Pool[asyncpg.Record]"

# Rows that nobody has changed since they were written bear the transaction that wrote them.
_COMMITTED = """
select org, right(id, 8)::int / $2 as page, extract(epoch from max(pg_xact_commit_timestamp(xmin)))::float8 as at
from {table} where org = any($1::text[]) group by 1, 2
"""


async def read_commits(db: Database, table: str, orgs: Sequence[str], page_size: int) -> Commits:
    found = await db.fetch(_COMMITTED.format(table=table), list(orgs), page_size)
    return {(row["org"], row["page"]): row["at"] for row in found}


def latencies(requests: Sequence[Request], commits: Commits) -> list[float]:
    """Of each page, sorted: seconds from the API's receiving the request to the commit of its rows."""
    first: dict[tuple[str, int], float] = {}
    for one in requests:
        first.setdefault((one.org, one.page), one.at)
    return sorted(at - first[page] for page, at in commits.items())


def repeated(requests: Sequence[Request]) -> list[Request]:
    """Every request for a page that had been requested before."""
    seen: set[tuple[str, int]] = set()
    found = []
    for one in requests:
        if (one.org, one.page) in seen:
            found.append(one)
        seen.add((one.org, one.page))
    return found


def by_kill(requests: Sequence[Request], kills: Sequence[float]) -> list[int]:
    """How many of these requests came after each kill and before the next."""
    ends = [*kills[1:], float("inf")]
    return [sum(kill <= one.at < end for one in requests) for kill, end in zip(kills, ends, strict=True)]


def windows(requests: Sequence[Request]) -> list[float]:
    """When the server's windows opened, for requests of one organisation."""
    opened = [requests[0].at]
    for _, one in pairwise(requests):
        if one.at >= opened[-1] + PERIOD_SECONDS:
            opened.append(one.at)
    return opened
