"""A sink in memory and an API made of lists: the smallest things that keep the ports' promises."""

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
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
from topics.kinds.sync import DELTA


@dataclass
class Run:
    ref: RunRef
    state: str = "open"
    counts: Counts | None = None
    proof: Proof | None = None
    since: datetime | None = None
    lines: dict[tuple[str, int], LedgerLine] = field(default_factory=dict)


class MemorySink:
    """Rows, ledger and fences in dictionaries. `rows[entity][(org, key)]` is the stored row, `origins` the page that it
    was read on, where it came by one, `problems` what is wrong with an entity's table."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[tuple[str, str], RowWrite]] = {}
        self.origins: dict[tuple[str, str, str], PageWrite] = {}
        self.runs: dict[str, Run] = {}
        self.problems: dict[str, SluiceError] = {}
        self.watermarks: dict[tuple[str, str, str], datetime] = {}
        self.ignored: set[tuple[str, str, str]] = set()

    async def prepare(self, adapter: Adapter) -> Mapping[str, SluiceError]:
        return dict(self.problems)

    async def close(self) -> None: ...

    async def open_leases(self, requests: Sequence[LeaseRequest]) -> Sequence[LeaseState]:
        return [self._open_lease(request) for request in requests]

    def _open(self, ref: RunRef) -> None:
        """Unless it or a newer one of its workflow is known; older ones are closed."""
        family = [run for run in self.runs.values() if run.ref.workflow == ref.workflow]
        if all(run.ref.number < ref.number for run in family):
            for older in family:
                older.state = "superseded" if older.state == "open" else older.state
            since = self.watermarks.get((ref.org, ref.adapter, ref.entity)) if ref.type == DELTA else None
            self.runs[ref.id] = Run(ref, since=since)

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
        return LeaseState(True, tuple(lines), since=run.since)

    async def ignore_watermark(self, run: RunRef) -> None:
        if run.id in self.runs and self.runs[run.id].state == "open":
            self.runs[run.id].since = None
            self.ignored.add((run.org, run.adapter, run.entity))

    async def commit(self, pages: Sequence[PageWrite]) -> Sequence[PageOutcome]:
        return [self._commit(page) for page in pages]

    def _commit(self, page: PageWrite) -> PageOutcome:
        run = self.runs.get(page.run.id)
        if run is None or run.state != "open":
            return PageOutcome("fenced")
        line = run.lines.get((page.parent, page.page))
        if line is not None:
            return PageOutcome("already", line.counts, line.is_last, line.next_cursor)
        collisions = sum(self._collides(page, row) for row in page.rows)
        counts = Counts(1, len(page.rows) - collisions, len(page.rejected) + collisions)
        run.lines[page.parent, page.page] = LedgerLine(
            page.parent, page.page, counts, page.is_last, page.next_cursor, page.extent
        )
        for row in page.rows:
            self._store(page, row)
        return PageOutcome("committed", counts, page.is_last, page.next_cursor)

    def _store(self, page: PageWrite, row: RowWrite) -> None:
        place = (page.entity.name, page.run.org, row.key)
        table, origin = self.rows.setdefault(page.entity.name, {}), self.origins.get(place)
        stored = table.get(place[1:])
        if stored is None or origin is None or self.replaces(page, row, origin, stored):
            table[place[1:]], self.origins[place] = row, page

    def replaces(self, page: PageWrite, row: RowWrite, origin: PageWrite, stored: RowWrite) -> bool:
        """The guard of the sinks (see agents.ports.Sink.commit)."""
        if row.content_hash == stored.content_hash:
            return False
        is_other_run = page.run.id != origin.run.id
        if is_other_run and page.run.type == origin.run.type:
            return True
        if row.updated_at is None or stored.updated_at is None or row.updated_at == stored.updated_at:
            return page.fetched_at >= origin.fetched_at
        return row.updated_at > stored.updated_at or (is_other_run and page.fetched_at > origin.fetched_at)

    def _collides(self, page: PageWrite, row: RowWrite) -> bool:
        """Whether the run has read this key with other content, and nobody can say which is newer."""
        place = (page.entity.name, page.run.org, row.key)
        origin, stored = self.origins.get(place), self.rows.get(place[0], {}).get(place[1:])
        if origin is None or stored is None or origin.run != page.run or stored.content_hash == row.content_hash:
            return False
        is_dated = None not in (row.updated_at, stored.updated_at) and row.updated_at != stored.updated_at
        return origin.parent != page.parent or not is_dated

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

    async def newest_proof(self, workflow: str) -> Proof | None:
        runs = [run for run in self.runs.values() if run.ref.workflow == workflow]
        newest = max(runs, key=lambda run: run.ref.number, default=None)
        return newest.proof if newest is not None and newest.state == "done" else None

    async def close_runs(self, ends: Sequence[RunEnd]) -> Sequence[ClosedRun | None]:
        return [self._close_run(end) for end in ends]

    def _close_run(self, end: RunEnd) -> ClosedRun | None:
        self._open(end.run)
        known = self.runs.setdefault(end.run.id, Run(end.run))
        if known.state == "open" and end.proof is not None and len(known.lines) != end.proof.pages:
            return None
        changes = end.proof.changes if end.proof is not None and end.outcome == "done" else None
        if known.state == "open" and changes is not None:
            place, at = (end.run.org, end.run.adapter, end.run.entity), datetime.fromisoformat(changes.watermark)
            self.watermarks[place] = max(at, self.watermarks.get(place, at))
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
        self.records_max = 10_000  # on a page, whatever it is asked for

    async def fetch(self, request: FetchRequest) -> PageBody | None:
        error = self.trouble(request) if self.trouble else None
        if error is not None:
            raise error
        self.on_fetch(request)
        name = list_name(request)
        self.served.append((name, request.org, request.page))
        return self.page(request, name)

    def page(self, request: FetchRequest, name: str) -> PageBody | None:
        keys = self.data.get(name, [])
        start = request.start or 0
        following = start + min(request.size, self.records_max)
        link = f"?offset={following}" if following < len(keys) else None
        return self.body(request, name, keys[start:following], link, len(keys))

    def body(
        self, request: FetchRequest, name: str, shown: Sequence[str], link: str | None, total: int | None
    ) -> PageBody:
        """A page that shows these keys."""
        begin, end = _wanted(shown, request.cut())
        rows = tuple(self.row(request.entity, name, key) for key in shown[begin:end])
        places = (shown[0], shown[-1], shown[max(begin - 1, 0)]) if shown else ()
        return PageBody(rows, (), link, total, len(shown), *places)

    def row(self, entity: Entity, name: str, key: str) -> RowWrite:
        return RowWrite(key, (), "{}", key.encode(), None)


def list_name(request: FetchRequest) -> str:
    """The list that the page is of, as it is called in ListSource.data."""
    return f"{request.entity.name}/{request.parent.key}" if request.parent else request.entity.name


def _wanted(keys: Sequence[str], cut: Cut) -> tuple[int, int]:
    """The first and the end of the keys that are wanted."""
    begin = min(cut.overlap, len(keys))
    if cut.after is not None:
        begin = max(bisect_right(keys, cut.after), min(begin, 1))
    return begin, bisect_right(keys, cut.before) if cut.before is not None else len(keys)
