"""A sink in memory and an API made of lists: the smallest things that keep the ports' promises."""

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import cast

from agents.deletes import Candidate, Check, Missing, Sweep
from agents.ledger import Comparison, LedgerSums, Proof
from agents.ports import (
    LONG_AGO,
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
from tests.support.sweeping import Place, Sweeping, cascades, state_of
from topics.command import NO_COUNTS, Counts, RunOutcome
from topics.errors import SluiceError
from topics.kinds.sync import DELTA, RECONCILIATION


@dataclass
class Run:
    ref: RunRef
    state: str = "open"
    counts: Counts | None = None
    proof: Proof | None = None
    since: datetime | None = None
    opened_at: datetime = LONG_AGO
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
        self.sweeping = Sweeping()
        self.now: Callable[[], datetime] = lambda: LONG_AGO

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
            self.runs[ref.id] = Run(ref, since=since, opened_at=self.now())

    def _open_lease(self, request: LeaseRequest) -> LeaseState:
        self._open(request.run)
        run = self.runs.get(request.run.id)
        if run is None or run.state != "open":
            newest = max(one.ref.number for one in self.runs.values() if one.ref.workflow == request.run.workflow)
            done = run.counts if run and run.state == "done" else None
            remark = run.proof.remark if done and run and run.proof else ""
            return LeaseState(False, done=done, newest=newest, remark=remark)
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
        if page.run.type == RECONCILIATION:
            self.sweeping.see(page, self._keyed(page.entity.name, page.run.org))
        for row in () if page.run.verify else page.rows:
            self._store(page, row)
        return PageOutcome("committed", counts, page.is_last, page.next_cursor)

    def _store(self, page: PageWrite, row: RowWrite) -> None:
        place = (page.entity.name, page.run.org, row.key)
        table, origin = self.rows.setdefault(page.entity.name, {}), self.origins.get(place)
        stored, deleted_at = table.get(place[1:]), self.sweeping.tombstones.get(place)
        if deleted_at is not None and page.fetched_at <= deleted_at:
            return
        self.sweeping.tombstones.pop(place, None)
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

    def _keyed(self, entity: str, org: str) -> dict[str, RowWrite]:
        """The organisation's rows by their keys."""
        return {key: row for (owner, key), row in self.rows.get(entity, {}).items() if owner == org}

    async def find_missing(self, sweep: Sweep, sample: int, limit: int) -> Missing:
        run, rows = sweep.run, self._keyed(sweep.entity.name, sweep.run.org)
        seen = self.sweeping.seen.get(run.id, {})
        missing = [key for key in rows if key not in seen and self._may_be_missing(sweep, key)]
        self.sweeping.find(run.id, [(run.entity, run.org, key) for key in missing])
        witness = next((self._candidate(sweep, key) for key in sorted(seen) if key in rows), None)
        found = self.sweeping.missing(run.id, len(rows), sample, limit, witness)
        return replace(found, unchecked=tuple(self._candidate(sweep, one.key) for one in found.unchecked))

    def _may_be_missing(self, sweep: Sweep, key: str) -> bool:
        """Whether the row was read before the run, and its list by the run; or its parent's row is deleted."""
        run, above = self.runs[sweep.run.id], sweep.entity.under
        origin = self.origins.get((sweep.entity.name, sweep.run.org, key))
        if origin is None or origin.fetched_at >= run.opened_at:
            return False
        if above is None:
            return True
        lines = [line for line in run.lines.values() if line.parent == origin.parent and line.is_last]
        is_orphan = (sweep.run.org, origin.parent) not in self.rows.get(above.entity, {})
        return any(line.extent.asked_at is not None for line in lines) or (is_orphan and above.on_delete == "cascade")

    def _candidate(self, sweep: Sweep, key: str) -> Candidate:
        origin = self.origins[sweep.entity.name, sweep.run.org, key]
        return Candidate(key, f'{{"id": "{key}"}}', Parent(origin.parent, {}) if sweep.entity.under else None)

    async def note_checks(self, run: RunRef, checks: Sequence[Check]) -> None:
        for check in checks:
            self.sweeping.note(run.id, check)

    async def sweep(self, sweep: Sweep) -> Comparison | None:
        run = self.runs.get(sweep.run.id)
        if run is None or run.state != "open" or len(run.lines) != sweep.pages:
            return None
        for one in self.sweeping.decide(sweep.run.id, state_of(sweep)):
            origin, at = self.origins.get(one.place), one.check.at if one.check else run.opened_at
            if origin is not None and origin.fetched_at < at:
                self._delete(sweep.adapter, one.place, at)
        return self.sweeping.comparison(sweep.run, sweep.hold)

    def _delete(self, adapter: Adapter, place: Place, at: datetime) -> None:
        entity, org, key = place
        del self.rows[entity][org, key], self.origins[place]
        self.sweeping.tombstones[place] = at
        for below in cascades(adapter, adapter.entities[entity]):
            places = [one for one, page in self.origins.items() if one[:2] == (below.name, org) and page.parent == key]
            for one in places:
                self._delete(adapter, one, at)

    async def compare(self, run: RunRef, reason: str) -> Comparison:
        return self.sweeping.comparison(run, reason)

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
