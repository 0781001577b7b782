"""Main syncs and their entities: what the one says of the other has happened to it."""

from collections import defaultdict
from collections.abc import Iterator

from tests.checker.entries import Entry
from tests.checker.evidence import Evidence
from tests.checker.found import Found
from tests.checker.lines import ENDED, Line


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
            if (_child(entry, name), entry.run) not in ended:
                found.wrong(f"{entry.where}: {name} is called done, and was never done under run {entry.run}")
    return found


def _unseen(line: Line) -> Iterator[tuple[int, int]]:
    """Between which numbers a main sync can have had runs of which no record is left.

    A store alone kept them, or a crash took them after others knew of them; then a run is given up for a newer one.
    """
    for first in line.wins[:1]:
        if first.history and first.history[0].seq < first.seq:
            yield 0, first.run
    for before, after in zip(line.wins, line.wins[1:], strict=False):
        if after.seq > before.seq + 1 or before.status not in ENDED:
            yield before.run, after.run


def _newly_done(line: Line) -> Iterator[tuple[Entry, str]]:
    """The entities that a main sync calls done, each with the first record of the run that does."""
    known: set[tuple[int, str]] = set()
    for entry in line.wins:
        for name, status in zip(entry.children, entry.child_statuses, strict=True):
            if status == "done" and (entry.run, name) not in known:
                known.add((entry.run, name))
                yield entry, name


def _child(entry: Entry, name: str) -> str:
    _, org, adapter, type_ = entry.key.split(":")
    return f"entity-sync:{org}:{adapter}:{name}:{type_}"
