"""Runs: each has ended or waits for something; what a main sync and its entities say of each other has happened."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import pairwise

from tests.checker.entries import Entry
from tests.checker.evidence import Evidence
from tests.checker.found import Found
from tests.checker.lines import ENDED, Line

OVERDUE_MS_MAX = 60_000  # a deadline that passed so long ago was not kept


def runs_end_or_wait(evidence: Evidence) -> Found:
    """Also in the database: what is open there is what its workflow is at."""
    found = Found()
    now = evidence.now
    for entry in now.values():
        found.looked_at += 1
        if entry.status not in ENDED:
            found.count("waiting")
            _judge(entry, now, evidence.read_at_ms, found)
    for run in evidence.runs:
        found.looked_at += 1
        entry_now = now.get(run.workflow)
        is_current = entry_now is not None and entry_now.run == run.number and entry_now.status not in ENDED
        if run.state == "open" and not is_current:
            is_at = f"{entry_now.status} in run {entry_now.run}" if entry_now else "not in the journal"
            found.wrong(f"{run.run_id} is open in the database, and its workflow is {is_at}")
    return found


def _judge(entry: Entry, now: Mapping[str, Entry], read_at_ms: int, found: Found) -> None:
    if not entry.due:
        found.wrong(f"{entry.where}: {entry.status} without a deadline: it waits for ever")
    elif (late_ms := read_at_ms - entry.due) > OVERDUE_MS_MAX:
        found.wrong(f"{entry.where}: {entry.status}, and its deadline passed {late_ms / 1000:.0f} s ago")
    if entry.kind == "entity" and not entry.reason:
        found.wrong(f"{entry.where}: {entry.status}, and no reason says why it has not ended")
    if entry.kind == "sync" and not _waits_for_somebody(entry, now):
        found.wrong(f"{entry.where}: {entry.status}, and none of its entities runs that could report anything")


def _waits_for_somebody(entry: Entry, now: Mapping[str, Entry]) -> bool:
    children = (now.get(entry.child(name)) for name, status in entry.statuses.items() if status == "running")
    return any(child is not None and child.status not in ENDED for child in children)


def main_syncs_and_entities_agree(evidence: Evidence) -> Found:
    """An entity is under a run that its main sync had, and what is called done under a run was done under it.

    Both share a partition, and so the order of the journal: whoever causes a record has put its own before. Any record
    counts for what was, also one that was put aside; and so does a message, which may have outrun its sender's record.
    """
    found = Found()
    had = evidence.parents_started.union((entry.key, entry.run) for entry in evidence.journal if entry.kind == "sync")
    ended = {(entry.key, entry.parent_run) for entry in evidence.journal if entry.status == "done"}
    unseen: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
    for line in evidence.lines:
        unseen[line.key] += _unseen(line)
    for line in evidence.lines:
        found.looked_at += len(line.wins)
        for entry in line.wins:
            if entry.kind != "entity" or (entry.parent, entry.parent_run) in had:
                continue
            if any(low < entry.parent_run < high for low, high in unseen[entry.parent]):
                found.count("under a run of which no record is left")
            else:
                found.wrong(f"{entry.where}: it is under run {entry.parent_run}, which {entry.parent} never had")
        for entry, name in _newly_done(line):
            if (entry.child(name), entry.run) not in ended:
                found.wrong(f"{entry.where}: {name} is called done, and was never done under run {entry.run}")
    return found


def _unseen(line: Line) -> Iterator[tuple[int, int]]:
    """Between which numbers a main sync can have had runs of which no record is left.

    A store alone kept them, or a crash took them after others knew of them; then a run is given up for a newer one.
    """
    for first in line.wins[:1]:
        if first.history and first.history[0].seq < first.seq:
            yield 0, first.run
    for before, after in pairwise(line.wins):
        if after.seq > before.seq + 1 or before.status not in ENDED:
            yield before.run, after.run


def _newly_done(line: Line) -> Iterator[tuple[Entry, str]]:
    """The entities that a main sync calls done, each with the first record of the run that does."""
    known: set[tuple[int, str]] = set()
    for entry in line.wins:
        for name, status in entry.statuses.items():
            if status == "done" and (entry.run, name) not in known:
                known.add((entry.run, name))
                yield entry, name
