"""Copies of the journal: the status tables, the timeline and the stores say what it says, and nothing else."""

from collections.abc import Mapping
from typing import Any

import msgspec

from tests.checker.entries import Newest
from tests.checker.evidence import Evidence
from tests.checker.formats import FIRST_STATUS, HEAD
from tests.checker.found import Found

COUNTS = ("pages", "records", "rejected")
TABLE = "sluice_workflow_runs"
VIEWS = {"main-sync": "sluice_sync_runs", "entity-sync": "sluice_entity_runs"}
OF_OTHERS = ("superseded_by", "journal")  # columns that other runs, or the database, decide


def published_is_the_journal(evidence: Evidence) -> Found:
    """Each run in the table and in the view of its kind."""
    found = Found(looked_at=len(evidence.newest))
    published = evidence.published
    wanted: set[tuple[str, str]] = set()
    for run_id, newest in evidence.newest.items():
        columns = {"run_id": run_id, **columns_of(newest)}
        places = [(TABLE, run_id), (VIEWS[str(columns["kind"])], run_id)]
        wanted.update(places)
        for place in places:
            _judge(place, published.get(place, {}), columns, found)
        for name in sorted(columns.keys() - {name for place in places for name in published.get(place, {})}):
            found.wrong(f"{run_id}: its {name} is nowhere published")
    for table, run_id in sorted(published.keys() - wanted):
        found.wrong(f"{run_id} is in {table}, and no record of the journal knows it")
    return found


def _judge(
    place: tuple[str, str], published: Mapping[str, object], columns: Mapping[str, object], found: Found
) -> None:
    table, run_id = place
    if not published:
        found.wrong(f"{run_id} is in the journal and not in {table}")
    for name, value in published.items():
        if name not in OF_OTHERS and value != columns.get(name):
            found.wrong(f"{run_id}: {table} has {name} {_shown(value)}, the journal {_shown(columns.get(name))}")


def timeline_is_the_journal(evidence: Evidence) -> Found:
    """Every notable step of any record, with the request that was accepted and the run that it led to, if one was."""
    found = Found(looked_at=len(evidence.events))
    timeline = {row[:4]: row for row in evidence.timeline}  # a frozen process may have made of one step something else
    for row in sorted(evidence.events):
        if row[:4] not in timeline:
            found.wrong(f"{row} is in the journal and not in the timeline")
    for row in sorted(set(timeline.values()) - evidence.events):
        found.wrong(f"{row} is in the timeline, and no record of the journal has it")
    return found


def columns_of(newest: Newest) -> dict[str, object]:
    """What the lines of a run must say, in the table and in its view; times in Unix ms, None where there is none."""
    state = msgspec.json.decode(newest.value[HEAD.size :])["state"]
    common = {"adapter": state["adapter"], "type": state["type"]}
    details = {**common, **(_sync(state) if state["kind"] == "sync" else _entity(state))}
    parent_run_id = f"{state['parent']}@{state['parent_run']}" if "parent" in state else ""
    return {
        "kind": "main-sync" if state["kind"] == "sync" else "entity-sync",
        "workflow": newest.workflow,
        "parent_run_id": parent_run_id,
        **({"sync_run_id": parent_run_id} if parent_run_id else {}),
        "org": state["org"],
        "status": state.get("status", FIRST_STATUS[state["kind"]]),
        "reason": state.get("reason", ""),
        "started_at": state["started_at"] or None,
        "ended_at": state.get("ended_at") or None,
        "epoch": newest.epoch,
        "seq": newest.seq,
        "state": state,
        "rows_missing": False,
        "details": details,
        **details,
    }


def _sync(state: Mapping[str, Any]) -> dict[str, object]:
    children = state.get("children", {}).values()
    sums = {name: sum(child.get(name, 0) for child in children) for name in COUNTS}
    return {"request": state["request"], **sums}


def _entity(state: Mapping[str, Any]) -> dict[str, object]:
    counts = {name: state.get(name, 0) for name in (*COUNTS, "units")}
    return {
        "entity": state["entity"],
        "error": state.get("error_reason", ""),
        "total_units": state.get("total_units"),
        **counts,
    }


def _shown(value: object) -> str:
    return str(value)[:80]


def stores_equal_the_journal(evidence: Evidence) -> Found:
    found = Found()
    if evidence.stores is None:
        found.skipped = "no directory with stores was given (--tables)"
        return found
    current: set[int] = set()
    for store in evidence.stores:
        if store.position is None or store.position < evidence.position.get(store.partition, -1):
            found.count("stores that are behind the journal")
            continue
        current.add(store.partition)
        says = evidence.folded.get(store.partition, {})
        for key in sorted(says.keys() | store.values.keys()):
            found.looked_at += 1
            if says.get(key) != store.values.get(key):
                found.wrong(
                    f"{store.path}, {key.decode(errors='replace')}: the store has {_guard(store.values.get(key))}, "
                    f"the journal {_guard(says.get(key))}"
                )
    found.count("partitions without an up-to-date store", len(evidence.position.keys() - current))
    return found


def compaction_keeps_what_counts(evidence: Evidence) -> Found:
    """The last record of each key in Kafka is the newest one, whoever else has sent records behind it."""
    found = Found()
    for partition, folded in evidence.folded.items():
        last = evidence.last.get(partition, {})
        for key in sorted(last.keys() | folded.keys()):
            found.looked_at += 1
            if last.get(key) != folded.get(key):
                found.wrong(
                    f"journal {partition}, {key.decode(errors='replace')}: its last record is {_guard(last.get(key))}, "
                    f"the newest that counts {_guard(folded.get(key))}"
                )
    found.count("records that compaction took", evidence.compacted)
    found.count("records of processes that were cut off", evidence.cut_off)
    return found


def _guard(value: bytes | None) -> str:
    if value is None or len(value) < 16:
        return "nothing"
    return f"epoch {int.from_bytes(value[:8], 'big')}, seq {int.from_bytes(value[8:16], 'big')}"
