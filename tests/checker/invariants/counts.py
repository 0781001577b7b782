"""A run's counts: what page-done said of its leases, what its record says, and what the database added up."""

from collections.abc import Mapping

import msgspec

from tests.checker.entries import Entry
from tests.checker.evidence import Evidence
from tests.checker.formats import HEAD
from tests.checker.found import Found
from tests.checker.invariants.journal import Step, steps
from tests.checker.lines import ENDED
from tests.checker.values import PageResult, Run

TOPIC = "page-done"
COUNTS = ("units", "pages", "records", "rejected")


def state_is_the_fold(evidence: Evidence) -> Found:
    """Each step adds what the one message behind it said of a lease that was out, and nothing else does."""
    found = Found()
    for line in evidence.lines:
        for step in steps(line, evidence):
            if step.after.kind == "entity" and step.is_same_run:
                found.looked_at += 1
                if step.after.status not in ENDED:
                    _judge(step, evidence.results, found)
                elif step.length == 1 and step.before.status == "finishing":
                    _judge_end(step, evidence, found)
    for entry in evidence.now.values():
        if entry.kind == "entity":
            found.looked_at += 1
            _judge_totals(entry, evidence.runs_by_id.get(entry.run_id), found)
    return found


def main_syncs_add_up_their_entities(evidence: Evidence) -> Found:
    """What a main sync says of an entity's run is what the database added up for it."""
    found = Found()
    for run_id, newest in evidence.newest.items():
        state = msgspec.json.decode(newest.value[HEAD.size :])["state"]
        for name, child in state.get("children", {}).items():
            run = evidence.runs_by_id.get(child.get("run_id", ""))
            if run is None:
                continue
            found.looked_at += 1
            said = tuple(child.get(count, 0) for count in ("pages", "records", "rejected"))
            if said != run.holds:
                found.wrong(f"{run_id}: {name} has pages, records, rejected {said}, and the database says {run.holds}")
    return found


def _judge(step: Step, results: Mapping[tuple[int, int], PageResult], found: Found) -> None:
    after = step.after
    added = tuple(getattr(after, count) - getattr(step.before, count) for count in COUNTS)
    since, until = step.before.position(TOPIC), after.position(TOPIC)
    if step.length > 1:  # some messages counted: which, only a store has known
        if any(one > most for one, most in zip(added, _most(after, results, since, until), strict=True)):
            found.wrong(f"{after.where}: {_shown(added)} were added, which is more than all page-done together said")
        return
    said = results.get((after.partition, until)) if until > since else None
    is_ours = said is not None and (said.workflow, said.run) == (after.key, after.run)
    wanted = (0, 0, 0, 0)
    if said is not None and is_ours and _is_out(step.before, said):
        wanted = (said.units, said.pages, said.records, said.rejected)
    if added != wanted:
        found.wrong(
            f"{after.where}: {_shown(added)} were added, and page-done {after.partition}/{until} makes it "
            f"{_shown(wanted)}"
        )


def _most(after: Entry, results: Mapping[tuple[int, int], PageResult], since: int, until: int) -> tuple[int, ...]:
    between = (results.get((after.partition, offset)) for offset in range(since + 1, until + 1))
    ours = [said for said in between if said is not None and (said.workflow, said.run) == (after.key, after.run)]
    return tuple(sum(getattr(said, count) for said in ours) for count in COUNTS)


def _judge_end(step: Step, evidence: Evidence, found: Found) -> None:
    """A run that was being closed ends as the action's result says; without one it fails, with what it had counted."""
    after, until = step.after, step.after.position("action-complete")
    closed = evidence.action_results.get((after.partition, until))
    if closed is None or (closed.workflow, closed.run) != (after.key, after.run):
        found.wrong(
            f"{after.where}: it is {after.status}, and action-complete {after.partition}/{until} is not its own"
        )
        return
    said = {"outcome": "failed", **{name: getattr(step.before, name) for name in COUNTS[1:]}}
    if not closed.error:
        said = {name: closed.result.get(name) for name in said}
    is_ = {"outcome": after.status, **{name: getattr(after, name) for name in COUNTS[1:]}}
    if is_ != said:
        found.wrong(f"{after.where}: it ended as {is_}, and action-complete {after.partition}/{until} makes it {said}")


def _is_out(before: Entry, said: PageResult) -> bool:
    return any(
        (number, attempt) == (said.lease, said.attempt) and said.first in (None, first)
        for number, attempt, first in before.leases
    )


def _shown(counts: tuple[int, ...]) -> str:
    return ", ".join(f"{count} {name}" for name, count in zip(COUNTS, counts, strict=True))


def _judge_totals(entry: Entry, run: Run | None, found: Found) -> None:
    """An ended run says what the database says; one that is under way, no more than that."""
    if run is None:
        if entry.pages or entry.status == "done":
            found.wrong(f"{entry.where}: {entry.status} with {entry.pages} pages, and the database knows no such run")
        return
    said = (entry.pages, entry.records, entry.rejected)
    if entry.status not in ENDED:
        if any(one > other for one, other in zip(said, run.holds, strict=True)):
            found.wrong(f"{entry.where}: pages, records, rejected {said}, and the database holds only {run.holds}")
        return
    if said != run.holds:
        found.wrong(f"{entry.where}: pages, records, rejected {said}, and the database added up {run.holds}")
    if run.state not in (entry.status, "superseded"):
        found.wrong(f"{entry.where}: it is {entry.status}, and the database closed the run as {run.state}")
