"""A sink in memory and an API made of lists: the smallest things that keep the ports' promises."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import cast

from agents.ports import (
    ClosedRun,
    FetchRequest,
    LeaseRequest,
    LeaseState,
    LedgerLine,
    PageBody,
    PageOutcome,
    PageWrite,
    Parent,
    RowWrite,
    RunEnd,
    RunRef,
)
from manifests.entity import Adapter, Entity
from topics.command import NO_COUNTS, Counts, RunOutcome
from topics.errors import SluiceError


@dataclass
class _Run:
    ref: RunRef
    state: str = "open"
    counts: Counts | None = None
    lines: dict[tuple[str, int], LedgerLine] = field(default_factory=dict)


class MemorySink:
    """Rows, ledger and fences in dictionaries. `rows[entity][(org, key)]` is the stored row."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[tuple[str, str], RowWrite]] = {}
        self.runs: dict[str, _Run] = {}

    async def prepare(self, adapter: Adapter) -> None: ...

    async def close(self) -> None: ...

    async def open_leases(self, requests: Sequence[LeaseRequest]) -> Sequence[LeaseState]:
        return [self._open_lease(request) for request in requests]

    def _open(self, ref: RunRef) -> None:
        """Unless it or a newer one of its workflow is known; older ones are closed."""
        family = [run for run in self.runs.values() if run.ref.workflow == ref.workflow]
        if all(run.ref.number < ref.number for run in family):
            for older in family:
                older.state = "superseded" if older.state == "open" else older.state
            self.runs[ref.id] = _Run(ref)

    def _open_lease(self, request: LeaseRequest) -> LeaseState:
        self._open(request.run)
        run = self.runs.get(request.run.id)
        if run is None or run.state != "open":
            newest = max(one.ref.number for one in self.runs.values() if one.ref.workflow == request.run.workflow)
            return LeaseState(False, done=run.counts if run and run.state == "done" else None, newest=newest)
        wanted = range(request.first, request.first + request.units)
        lines = [
            line
            for line in run.lines.values()
            if (line.parent in request.parents if request.parents else line.page in wanted and not line.parent)
        ]
        return LeaseState(True, tuple(lines))

    async def commit(self, pages: Sequence[PageWrite]) -> Sequence[PageOutcome]:
        return [self._commit(page) for page in pages]

    def _commit(self, page: PageWrite) -> PageOutcome:
        run = self.runs.get(page.run.id)
        if run is None or run.state != "open":
            return PageOutcome("fenced")
        line = run.lines.get((page.parent, page.page))
        if line is not None:
            return PageOutcome("already", line.counts, line.is_last, line.next_cursor)
        run.lines[page.parent, page.page] = LedgerLine(
            page.parent, page.page, page.counts, page.is_last, page.next_cursor
        )
        table = self.rows.setdefault(page.entity.name, {})
        table.update({(page.run.org, row.key): row for row in page.rows})
        return PageOutcome("committed", page.counts, page.is_last, page.next_cursor)

    async def parents(
        self, adapter: str, entity: Entity, org: str, columns: Sequence[str], after: str | None, limit: int
    ) -> Sequence[Parent]:
        keys = sorted(key for owner, key in self.rows.get(entity.name, {}) if owner == org and key > (after or ""))
        return [Parent(key, {}) for key in keys[:limit]]

    async def count(self, adapter: str, entity: Entity, org: str) -> int:
        return sum(owner == org for owner, _ in self.rows.get(entity.name, {}))

    async def close_runs(self, ends: Sequence[RunEnd]) -> Sequence[ClosedRun]:
        return [self._close_run(end) for end in ends]

    def _close_run(self, end: RunEnd) -> ClosedRun:
        self._open(end.run)
        known = self.runs.setdefault(end.run.id, _Run(end.run))
        known.state = end.outcome if known.state == "open" else known.state
        if known.counts is None:
            known.counts = sum((line.counts for line in known.lines.values()), NO_COUNTS)
            known.lines = {}
        outcome = end.outcome if known.state in ("open", "superseded") else cast(RunOutcome, known.state)
        return ClosedRun(outcome, known.counts)


class ListSource:
    """Serves `data[entity]` (keys; under a parent: `data[entity/parent]`) and counts each page that it serves.

    What `trouble` gives for a page is raised before it is served.
    """

    def __init__(self, data: dict[str, list[str]]) -> None:
        self.data = data
        self.served: list[tuple[str, str, int]] = []
        self.trouble: Callable[[FetchRequest], SluiceError | None] | None = None
        self.on_fetch: Callable[[FetchRequest], None] = lambda request: None

    async def fetch(self, request: FetchRequest) -> PageBody | None:
        error = self.trouble(request) if self.trouble else None
        if error is not None:
            raise error
        self.on_fetch(request)
        parent = request.parent.key if request.parent else ""
        name = f"{request.entity.name}/{parent}" if parent else request.entity.name
        keys = self.data.get(name, [])
        size = request.entity.paging.size
        shown = keys[(request.page - 1) * size : request.page * size]
        self.served.append((name, request.org, request.page))
        rows = tuple(RowWrite(key, (), "{}", key.encode(), None) for key in shown)
        more = request.page * size < len(keys)
        return PageBody(rows, (), f"page-{request.page + 1}" if more else None, len(keys), len(rows))
