"""When each page was committed, by the database's own account, whoever wrote it."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import asyncpg

from tests.bench.api import Request

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
