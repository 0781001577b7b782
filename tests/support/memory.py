"""A sink in memory and an API made of lists: the smallest things that keep the ports' promises."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from agents.activities.source import FetchRequest
from agents.ports import (
    ClosedRun,
    LeaseRequest,
    LeaseState,
    LedgerLine,
    PageOutcome,
    PageWrite,
    Parent,
    RowWrite,
    RunEnd,
    RunRef,
    RunTotals,
)
from agents.records.reader import PageBody
from manifests.entity import Adapter, Entity
from topics.errors import SluiceError


@dataclass
class _Run:
    ref: RunRef
    state: str = "open"
    totals: RunTotals | None = None
    lines: dict[tuple[str, int], LedgerLine] = field(default_factory=dict)


class MemorySink:
    """Rows, ledger and fences in dictionaries. `rows[entity][(org, key)]` is the stored row."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[tuple[str, str], RowWrite]] = {}
        self.runs: dict[str, _Run] = {}
        self.commits = 0

    async def prepare(self, adapter: Adapter) -> None: ...

    async def close(self) -> None: ...

    async def grant(self, asks: Sequence[LeaseRequest]) -> Sequence[LeaseState]:
        return [self._grant(ask) for ask in asks]

    def _open(self, ref: RunRef) -> None:
        """Unless it or a newer one of its workflow is known; older ones are closed."""
        family = [run for run in self.runs.values() if run.ref.workflow == ref.workflow]
        if all(run.ref.number < ref.number for run in family):
            for older in family:
                older.state = "superseded" if older.state == "open" else older.state
            self.runs[ref.id] = _Run(ref)

    def _grant(self, ask: LeaseRequest) -> LeaseState:
        self._open(ask.run)
        run = self.runs.get(ask.run.id)
        if run is None or run.state != "open":
            newest = max(one.ref.number for one in self.runs.values() if one.ref.workflow == ask.run.workflow)
            return LeaseState(False, done=run.totals if run and run.state == "done" else None, newest=newest)
        wanted = range(ask.first, ask.first + ask.units)
        lines = [
            line
            for line in run.lines.values()
            if (line.parent in ask.parents if ask.parents else line.page in wanted and not line.parent)
        ]
        return LeaseState(True, tuple(lines))

    async def commit(self, pages: Sequence[PageWrite]) -> Sequence[PageOutcome]:
        self.commits += 1
        return [self._commit(page) for page in pages]

    def _commit(self, page: PageWrite) -> PageOutcome:
        run = self.runs.get(page.run.id)
        if run is None or run.state != "open":
            return PageOutcome("fenced")
        line = run.lines.get((page.parent, page.page))
        if line is not None:
            return PageOutcome("already", line.records, line.rejected, line.is_last, line.next_cursor)
        records, rejected = len(page.rows), len(page.rejected)
        run.lines[page.parent, page.page] = LedgerLine(
            page.parent, page.page, records, rejected, page.is_last, page.next_cursor
        )
        table = self.rows.setdefault(page.entity.name, {})
        table.update({(page.run.org, row.key): row for row in page.rows})
        return PageOutcome("committed", records, rejected, page.is_last, page.next_cursor)

    async def parents(
        self, adapter: str, entity: Entity, org: str, columns: Sequence[str], after: str | None, limit: int
    ) -> Sequence[Parent]:
        keys = sorted(key for owner, key in self.rows.get(entity.name, {}) if owner == org and key > (after or ""))
        return [Parent(key, {}) for key in keys[:limit]]

    async def count(self, adapter: str, entity: Entity, org: str) -> int:
        return sum(owner == org for owner, _ in self.rows.get(entity.name, {}))

    async def finish(self, ends: Sequence[RunEnd]) -> Sequence[ClosedRun]:
        return [self._finish(end) for end in ends]

    def _finish(self, end: RunEnd) -> ClosedRun:
        self._open(end.run)
        known = self.runs.setdefault(end.run.id, _Run(end.run))
        known.state = end.outcome if known.state == "open" else known.state
        if known.totals is None:
            lines = known.lines.values()
            known.totals = RunTotals(
                len(lines), sum(line.records for line in lines), sum(line.rejected for line in lines)
            )
            known.lines = {}
        outcome = end.outcome if known.state in ("open", "superseded") else known.state
        return ClosedRun(outcome, known.totals)  # type: ignore[arg-type]  # a state is text here


class ListSource:
    """Serves `data[entity]` (keys; under a parent: `data[entity/parent]`) and counts each page that it serves.

    `trouble` may raise for a page, before it is served.
    """

    def __init__(
        self, data: dict[str, list[str]], trouble: Callable[[FetchRequest], SluiceError | None] | None = None
    ) -> None:
        self.data = data
        self.served: list[tuple[str, str, int]] = []
        self.trouble = trouble
        self.on_fetch: Callable[[FetchRequest], None] = lambda ask: None

    async def fetch(self, ask: FetchRequest) -> PageBody | None:
        error = self.trouble(ask) if self.trouble else None
        if error is not None:
            raise error
        self.on_fetch(ask)
        parent = ask.parent.key if ask.parent else ""
        name = f"{ask.entity.name}/{parent}" if parent else ask.entity.name
        keys = self.data.get(name, [])
        size = ask.entity.paging.size
        shown = keys[(ask.page - 1) * size : ask.page * size]
        self.served.append((name, ask.org, ask.page))
        rows = tuple(RowWrite(key, (), "{}", key.encode(), None) for key in shown)
        more = ask.page * size < len(keys)
        return PageBody(rows, (), f"page-{ask.page + 1}" if more else None, len(keys), len(rows))
