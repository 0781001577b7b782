"""A sink in memory and an API made of lists: the smallest things that keep the ports' promises."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import cast

from agents.ledger import LedgerSums, Proof
from agents.ports import (
    ClosedRun,
    Cut,
    FetchRequest,
    LeaseRequest,
    LeaseState,
    LedgerLine,
    PageBody,
    PageOutcome,
    PageWrite,
    Parent,
    ParentsRequest,
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
    proof: Proof | None = None
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
            done = run.counts if run and run.state == "done" else None
            unproven = run.proof.reason if run and run.proof and not run.proof.complete else ""
            return LeaseState(False, done=done, newest=newest, unproven=unproven)
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
            page.parent, page.page, page.counts, page.is_last, page.next_cursor, page.extent
        )
        table = self.rows.setdefault(page.entity.name, {})
        table.update({(page.run.org, row.key): row for row in page.rows})
        return PageOutcome("committed", page.counts, page.is_last, page.next_cursor)

    async def parents(self, request: ParentsRequest) -> Sequence[Parent]:
        rows = self.rows.get(request.entity.name, {})
        run = self.runs.get(request.unread_by) if request.unread_by is not None else None
        lines = run.lines if run is not None else {}
        read = {line.parent for line in lines.values() if line.is_last}
        keys = sorted(key for owner, key in rows if owner == request.org and key > (request.after or ""))
        return [Parent(key, {}) for key in keys if key not in read][: request.limit]

    async def ledger_sums(self, run: str) -> LedgerSums:
        lines = self.runs[run].lines if run in self.runs else {}
        return LedgerSums(len(lines), sum(page < 0 for _, page in lines), len({parent for parent, _ in lines}))

    async def count(self, adapter: str, entity: Entity, org: str) -> int:
        return sum(owner == org for owner, _ in self.rows.get(entity.name, {}))

    async def close_runs(self, ends: Sequence[RunEnd]) -> Sequence[ClosedRun]:
        return [self._close_run(end) for end in ends]

    def _close_run(self, end: RunEnd) -> ClosedRun:
        self._open(end.run)
        known = self.runs.setdefault(end.run.id, _Run(end.run))
        known.proof = end.proof if known.state == "open" else known.proof
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
        start = request.start or 0
        following = start + request.size
        shown = keys[start:following]
        self.served.append((name, request.org, request.page))
        link = f"?offset={following}" if following < len(keys) else None
        begin, end = _wanted(shown, request.cut())
        rows = tuple(RowWrite(key, (), "{}", key.encode(), None) for key in shown[begin:end])
        places = (shown[0], shown[-1], shown[max(begin - 1, 0)]) if shown else ()
        return PageBody(rows, (), link, len(keys), len(shown), *places)


def _wanted(keys: Sequence[str], cut: Cut) -> tuple[int, int]:
    """The first and the end of the keys that are wanted."""
    begin = min(cut.overlap, len(keys))
    if cut.after is not None:
        begin = max(bisect_right(keys, cut.after), min(begin, 1))
    return begin, bisect_right(keys, cut.before) if cut.before is not None else len(keys)
