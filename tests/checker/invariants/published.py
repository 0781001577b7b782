"""The status tables say what the newest record of each run says, and nothing else."""

from collections.abc import Mapping
from typing import Any

import msgspec

from tests.checker.evidence import Evidence, Newest
from tests.checker.formats import FIRST_STATUS, HEAD
from tests.checker.found import Found

COUNTS = ("pages", "records", "rejected")


def published_is_the_journal(evidence: Evidence) -> Found:
    found = Found(looked_at=len(evidence.newest))
    published = {line.run_id: line.columns for line in evidence.published}
    for run_id, newest in evidence.newest.items():
        if run_id not in published:
            found.wrong(f"{run_id} is in the journal and not published")
            continue
        for name, wanted in columns_of(newest).items():
            if published[run_id].get(name) != wanted:
                is_ = str(published[run_id].get(name))[:80]
                found.wrong(f"{run_id}: {name} is published as {is_}, the journal says {str(wanted)[:80]}")
    for run_id in sorted(published.keys() - evidence.newest.keys()):
        found.wrong(f"{run_id} is published, and no record of the journal knows it")
    return found


def columns_of(newest: Newest) -> dict[str, object]:
    """What a status table's line must say; times in Unix ms, None where there is none."""
    state = msgspec.json.decode(newest.value[HEAD.size :])["state"]
    return {
        "generation": newest.generation,
        "seq": newest.seq,
        "state": state,
        "org": state["org"],
        "adapter": state["adapter"],
        "type": state["type"],
        "status": state.get("status", FIRST_STATUS[state["kind"]]),
        "reason": state.get("reason", ""),
        "started_at": state["started_at"] or None,
        "ended_at": state.get("ended_at") or None,
        **(_sync(state) if state["kind"] == "sync" else _entity(state)),
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
        "sync_run_id": f"{state['parent']}@{state['parent_run']}",
        "total_units": state.get("total_units"),
        **counts,
    }
