"""The journal: a workflow's record grows step by step, by what came in, along the arrows of docs/reference/states."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise

from msgspec import Struct

from tests.checker.entries import Entry
from tests.checker.evidence import Evidence
from tests.checker.found import Found
from tests.checker.lines import ENDED, Line
from tests.checker.local import local_between
from tests.checker.messages import retry_id
from tests.checker.values import LogFacts

ARROWS: Mapping[str, Mapping[str, frozenset[str]]] = {
    "sync": {"running": frozenset({"done", "failed", "cancelled"})},
    "entity": {"fetching": frozenset({"finishing", "done"}), "finishing": frozenset({"done", "failed", "cancelled"})},
}
CHILD_ARROWS: Mapping[str, frozenset[str]] = {
    "waiting": frozenset({"running", "blocked", "cancelled"}),
    "running": frozenset({"done", "failed", "cancelled"}),
}
FIRST = {"sync": {"running", "done", "failed"}, "entity": {"fetching", "finishing"}}


class Step(Struct, frozen=True):
    """From a winning record to the next one: `events` came in between, `length` is how far seq went.

    `local` is how much of it may have been delivered within the partition, without a message.
    """

    before: Entry
    after: Entry
    events: int
    local: int

    @property
    def length(self) -> int:
        return self.after.seq - self.before.seq

    @property
    def is_same_run(self) -> bool:
        return self.before.run == self.after.run


def journal_is_whole(evidence: Evidence) -> Found:
    """No record is missing from any topic, and each record of the journal agrees with its own head and key."""
    found = Found(looked_at=len(evidence.logs) + len(evidence.journal) + len(evidence.request_logs))
    for log in evidence.logs:
        _judge_log(log, found)
    for entry in evidence.journal:
        if not entry.head_agrees:
            found.wrong(f"{entry.where}: head, key and content do not agree")
        if entry.due and not entry.due_set_at:
            found.wrong(f"{entry.where}: it has a deadline and does not say when that was set")
    for requests in evidence.request_logs:
        for fault in requests.faults:
            found.wrong(fault)
    return found


def _judge_log(log: LogFacts, found: Found) -> None:
    name = f"{log.topic}/{log.partition}"
    if log.begin:
        found.wrong(f"{name} begins at {log.begin}: what stood before was removed, and nothing can be proved of it")
    if log.holes:
        found.wrong(f"{name} lacks records, the first at offset {log.holes[0]} ({len(log.holes)} holes)")
    if not log.holes and log.begin + log.read < log.end:
        found.wrong(f"{name} ends at {log.end}, but only {log.read} records were read")


def journal_is_gapless(evidence: Evidence) -> Found:
    """Each seq once and none left out, each for a message or for a local delivery.

    What only a store kept through a crash is put again: once for each of its messages, and at least once.
    """
    found = Found()
    for line in evidence.lines:
        found.looked_at += len(line.wins)
        found.count("stale", line.stale)
        found.count("put aside", line.aside)
        found.count("put again", line.again)
        for fault in line.faults:
            found.wrong(fault)
        known = steps(line, evidence)
        for step in known:
            _judge_length(step, line, found)
        _judge_retries(known, evidence, found)
    partitions: dict[str, set[int]] = {}
    records = [(entry.key, entry.partition) for entry in evidence.journal]
    for key, partition in records + [(log.workflow, log.partition) for log in evidence.request_logs]:
        partitions.setdefault(key, set()).add(partition)
    for key, places in partitions.items():
        if len(places) > 1:
            found.wrong(f"{key} has records on partitions {sorted(places)} of the journal")
    return found


def _judge_length(step: Step, line: Line, found: Found) -> None:
    after = step.after
    if step.length > step.events + step.local:
        found.wrong(
            f"{after.where}: {step.length} steps since seq {step.before.seq}, but {step.events} messages came in "
            f"between, and {step.local} can have been delivered locally: one was counted twice, or nobody sent it"
        )
    if step.length > 1:
        found.count("kept by a store alone", step.length - 1)
        by_message = max(1, step.length - step.local)
        if (puts := _puts_since(after, line)) < by_message:
            found.wrong(
                f"{after.where}: seq {step.before.seq + 1} to {after.seq - 1} are missing, and the record was put "
                f"{puts} times, not {by_message}: what was replayed was not put again"
            )


def _judge_retries(known: Sequence[Step], evidence: Evidence, found: Found) -> None:
    """A retry is a request: once it was accepted, the same one again has no effect."""
    causes = Counter(step.after.cause for step in known)
    for key, parent in {(step.after.key, step.after.parent) for step in known}:
        for request in evidence.retries.get(key, frozenset()) | evidence.retries.get(parent, frozenset()):
            if (times := causes[retry_id(key, request)]) > 1:
                found.wrong(f"{key}: retry {request} was counted {times} times")


def _puts_since(entry: Entry, line: Line) -> int:
    """A replay may find that something new has come in before it; then it is the newer record that it puts again."""
    return line.puts[entry.seq] + sum(line.puts[one.seq] - 1 for one in line.wins if one.seq > entry.seq)


def steps(line: Line, evidence: Evidence) -> list[Step]:
    return [
        Step(before, after, _came_in(before, after, evidence), local_between(before, after, evidence))
        for before, after in pairwise(line.wins)
    ]


def _came_in(before: Entry, after: Entry, evidence: Evidence) -> int:
    """How many messages for this workflow stand between the positions of the two records."""
    came = 0
    for topic, offset in after.last_offset:
        offsets = evidence.offsets.get((topic, after.partition, after.key), ())
        came += bisect_right(offsets, offset) - bisect_right(offsets, before.position(topic))
    return came


def journal_is_legal(evidence: Evidence) -> Found:
    """Every step is an arrow of the state diagrams; a run's number and its counts never fall."""
    found = Found()
    for line in evidence.lines:
        if line.wins:
            _judge_first(line, found)
        for step in steps(line, evidence):
            found.looked_at += 1
            _judge_step(step, evidence, found)
    return found


def _judge_first(line: Line, found: Found) -> None:
    """What came before it may have been in a store alone; then it was put again."""
    entry = line.wins[0]
    if entry.status not in FIRST.get(entry.kind, set()) and line.puts[entry.seq] == 1:
        found.wrong(f"{entry.where}: its first record is {entry.status}")
    if entry.kind == "sync" and entry.is_first:
        _judge_request(entry, found)


def _judge_step(step: Step, evidence: Evidence, found: Found) -> None:
    before, after = step.before, step.after
    for topic, offset in before.last_offset:
        if after.position(topic) < offset:
            found.wrong(f"{after.where}: its position in {topic} goes back from {offset} to {after.position(topic)}")
    if after.kind == "sync" and after.run != before.run and step.length == 1:
        _judge_request(after, found)
    if after.run < before.run:
        found.wrong(f"{after.where}: run {before.run} is followed by the older run {after.run}")
    elif step.is_same_run:
        _judge_same_run(step, found)
    elif step.length == 1 and not _may_begin(before, after, evidence):
        found.wrong(f"{after.where}: run {after.run} begins while run {before.run} is {before.status}")


def _judge_request(entry: Entry, found: Found) -> None:
    """The first record of a main sync's run says which request started it."""
    event = entry.event
    if event is None or (event.request, event.run) != (entry.request, entry.run):
        found.wrong(f"{entry.where}: run {entry.run} is for request {entry.request!r}, and its history says {event}")


def _judge_same_run(step: Step, found: Found) -> None:
    before, after = step.before, step.after
    if not _leads(ARROWS.get(before.kind, {}), before.status, after.status, step.length):
        found.wrong(f"{after.where}: from {before.status} to {after.status}, which no arrow leads to")
    for count in ("units", "pages", "records", "rejected"):
        if getattr(after, count) < getattr(before, count):
            found.wrong(f"{after.where}: {count} fall from {getattr(before, count)} to {getattr(after, count)}")
    was = before.statuses
    for name, status in after.statuses.items():
        if name not in was or not _leads(CHILD_ARROWS, was[name], status, step.length):
            found.wrong(f"{after.where}: {name} from {was.get(name)} to {status}, which no arrow leads to")


def _leads(arrows: Mapping[str, frozenset[str]], start: str, end: str, length: int) -> bool:
    reached = {start}
    for _ in range(min(length, len(arrows))):
        reached |= {state for one in reached for state in arrows.get(one, ())}
    return end in reached


def _may_begin(before: Entry, after: Entry, evidence: Evidence) -> bool:
    """A new run follows an end; a newer parent's takes over; one that the database outran takes a newer number."""
    if before.status in ENDED:
        return True
    if after.kind == "entity":
        is_anew = after.parent_run == before.parent_run and after.fenced == before.fenced + 1
        return after.parent_run > before.parent_run or is_anew
    return (before.key, before.run) in evidence.given_up
