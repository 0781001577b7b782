"""Nobody waits for ever: each run has ended, or waits with a reason and a deadline."""

from collections.abc import Mapping

from tests.checker.entries import Entry
from tests.checker.evidence import Evidence
from tests.checker.found import Found
from tests.checker.lines import ENDED

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
    _, org, adapter, type_ = entry.key.split(":")
    running = (name for name, status in zip(entry.children, entry.child_statuses, strict=True) if status == "running")
    children = (now.get(f"entity-sync:{org}:{adapter}:{name}:{type_}") for name in running)
    return any(child is not None and child.status not in ENDED for child in children)
