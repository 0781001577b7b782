"""Pages: each committed once in its run, counted once, written under an open run, not requested again; their rows."""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from tests.checker.evidence import Evidence
from tests.checker.found import Found
from tests.checker.values import AuditLine, Place, Run, RunChange, Served

LEASE_SECONDS_MAX = 180.0  # a closed run's lease may last so long: its deadline, and a request's own limit
CLOCKS_SECONDS = 0.005  # the database and the simulator read one clock, in milliseconds


def pages_are_committed_once(evidence: Evidence) -> Found:
    """No line twice in the audit, and as many lines, with as many records, as the run's own totals say."""
    found = Found(looked_at=len(evidence.audit))
    for place, times in Counter(line.place for line in evidence.audit).items():
        if times > 1:
            run_id, parent, page = place
            found.wrong(f"{run_id}: page {page} of parent {parent!r} was committed {times} times")
    lines: defaultdict[str, list[AuditLine]] = defaultdict(list)
    for line in evidence.audit:
        lines[line.run_id].append(line)
    for run_id in sorted(lines.keys() - evidence.runs_by_id.keys()):
        found.wrong(f"{run_id}: {len(lines[run_id])} pages were committed under it, and it is not in sluice_runs")
    for run in evidence.runs:
        _judge_totals(run, lines.get(run.run_id, []), found)
    return found


def _judge_totals(run: Run, lines: Sequence[AuditLine], found: Found) -> None:
    seen = len(lines), sum(line.records for line in lines), sum(line.rejected for line in lines)
    if seen != run.holds:
        found.wrong(f"{run.run_id}: pages, records, rejected were committed {seen}, and the database says {run.holds}")


def runs_write_while_open(evidence: Evidence) -> Found:
    """No line under a run that is closed, none of an older run behind the first of a newer one; no run opens again."""
    found = Found(looked_at=len(evidence.audit) + len(evidence.changes))
    closed: dict[str, RunChange] = {}
    for change in evidence.changes:
        before = closed.get(change.run_id)
        if before is not None and change.state != before.state:
            found.wrong(f"{change.run_id}: {before.state} (change {before.id}), then {change.state} ({change.id})")
        if change.state != "open":
            closed.setdefault(change.run_id, change)
    for line in evidence.audit:
        end = closed.get(line.run_id)
        if line.state != "open":
            found.wrong(f"{_shown(line)} was written while the run was {line.state}")
        elif end is not None and end.id < line.id and end.txid != line.txid:
            found.wrong(f"{_shown(line)} was written behind the run's end ({end.state}, change {end.id})")
    for late, newer in _overtaken(evidence):
        found.wrong(f"{_shown(late)} was written behind line {newer.id} of the newer run {newer.run_id}")
    return found


def _overtaken(evidence: Evidence) -> Iterable[tuple[AuditLine, AuditLine]]:
    """Lines that stand behind the first line of a newer run of the same workflow."""
    newest: dict[str, tuple[int, AuditLine]] = {}
    for line in sorted(evidence.audit, key=lambda line: line.id):
        run = evidence.runs_by_id.get(line.run_id)
        if run is None:
            continue
        known = newest.get(run.workflow)
        if known is None or run.number > known[0]:
            newest[run.workflow] = (run.number, line)
        elif run.number < known[0]:
            yield line, known[1]


def _shown(line: AuditLine) -> str:
    return f"line {line.id} (run {line.run_id}, parent {line.parent!r}, page {line.page})"


def committed_pages_are_not_requested_again(evidence: Evidence) -> Found:
    """A request for a page came before its commit in every run that it can belong to.

    What belongs to a run: requests since it was opened, and for LEASE_SECONDS_MAX after its end. A repair may begin
    where a page does: between the last page of a list and its last repair, a request may be a repair's.
    """
    found = Found()
    if evidence.served is None:
        found.skipped = "no journal of the simulator was given (--journal)"
        return found
    if any(served.at is None for served in evidence.served):
        found.skipped = "the simulator's journal does not say when a page was requested"
        _count_repeated(evidence.served, found)
        return found
    spans = _spans(evidence)
    commits = {line.place: line for line in evidence.audit}
    repairs = _repairs(evidence.audit)
    for served in evidence.served:
        found.looked_at += 1
        _judge_request(served, spans, commits, repairs, found)
    _count_repeated(evidence.served, found)
    return found


def _count_repeated(served: Sequence[Served], found: Found) -> None:
    pages = Counter((one.org, one.entity, one.parent, one.page) for one in served)
    found.count("pages served more than once, runs and pages in flight included", sum(n > 1 for n in pages.values()))


Span = tuple[float, float, str]  # from, until, run id
Repairs = dict[tuple[str, str], tuple[float, float]]  # by run id and parent: from, until


def _spans(evidence: Evidence) -> dict[tuple[str, str], list[Span]]:
    """When requests may belong to which run, by organisation and entity, in their order."""
    spans: defaultdict[tuple[str, str], list[Span]] = defaultdict(list)
    for run in evidence.runs:
        if run.run_id in evidence.times:
            opened, ended = evidence.times[run.run_id]
            spans[run.org, run.entity].append((opened, ended + LEASE_SECONDS_MAX, run.run_id))
    return {name: sorted(some) for name, some in spans.items()}


def _repairs(audit: Sequence[AuditLine]) -> Repairs:
    """Of each list that was repaired: the times of its last page and of its last repair."""
    pages = {(line.run_id, line.parent): line.at for line in audit if line.page > 0}
    repairs = {(line.run_id, line.parent): line.at for line in audit if line.page < 0}
    return {place: (pages.get(place, 0.0), until) for place, until in repairs.items()}


def _judge_request(
    served: Served,
    spans: dict[tuple[str, str], list[Span]],
    commits: dict[Place, AuditLine],
    repairs: Repairs,
    found: Found,
) -> None:
    assert served.at is not None
    of_entity = spans.get((served.org, served.entity), [])
    begun = of_entity[: bisect_right(of_entity, (served.at, float("inf"), ""))]
    owners = [run_id for _, until, run_id in begun if served.at <= until] or [run_id for *_, run_id in begun[-1:]]
    lines = [commits.get((run_id, served.parent, served.page)) for run_id in owners]
    name = f"{served.org} {served.entity} parent {served.parent!r} page {served.page}"
    if not owners:
        found.wrong(f"{name} was requested before any run of the entity was opened")
        return
    times = [line.committed_at or line.at for line in lines if line is not None]
    if len(times) == len(lines) and all(served.at > time + CLOCKS_SECONDS for time in times):
        known = [repairs[run_id, served.parent] for run_id in owners if (run_id, served.parent) in repairs]
        if any(since < served.at < until for since, until in known):
            found.count("requests that may be repairs")
            return
        line = lines[-1]
        assert line is not None
        found.wrong(f"{name} was requested {served.at - max(times):.3f} s after its commit ({_shown(line)})")


def rows_equal_the_source(evidence: Evidence) -> Found:
    """As many rows as records, with one hash over all of them, and each row agrees with its own raw record."""
    found = Found()
    tables = {(table.org, table.entity): table for table in evidence.tables}
    for (org, entity), expected in evidence.expected.items():
        table = tables.get((org, entity))
        rows = table.rows if table else 0
        found.looked_at += max(rows, expected.rows)
        if rows != expected.rows:
            found.wrong(f"{org} {entity}: {rows} rows, and the source has {expected.rows} records")
        elif table is not None and table.sha256 != expected.sha256:
            found.wrong(
                f"{org} {entity}: {rows} rows as in the source, but with other contents: sha256 {table.sha256[:16]}…, "
                f"and the source's is {expected.sha256[:16]}…"
            )
    for org, entity in sorted(tables.keys() - evidence.expected.keys()):
        found.wrong(f"{org} {entity}: {tables[org, entity].rows} rows, and the source has no such organisation")
    for table in evidence.tables:
        for fault in table.faults:
            found.wrong(fault)
    return found


def rows_have_a_page(evidence: Evidence) -> Found:
    """Each row stands under a run and a page that were committed."""
    found = Found()
    committed = {line.place for line in evidence.audit}
    committed_anywhere = {(run_id, page) for run_id, _, page in committed}
    runs = {run.run_id: run for run in evidence.runs}
    for table in evidence.tables:
        for run_id, parent, page in sorted(table.places, key=str):
            found.looked_at += 1
            name = f"{table.org} {table.entity}: rows of run {run_id}, parent {parent!r}, page {page}"
            run = runs.get(run_id)
            if run is None or (run.org, run.entity) != (table.org, table.entity):
                found.wrong(f"{name}: it is no run of theirs")
            known = (run_id, page) in committed_anywhere if parent is None else (run_id, parent, page) in committed
            if not known:
                found.wrong(f"{name}: that page was never committed")
    return found
