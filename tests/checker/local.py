"""What one workflow sent another of its partition without a message, as far as their records show it. Pure.

All workflows of a connection share a partition, and a worker delivers within its batch what they send each other. Such
a step has no offset; but it is always a notable one, so the history names the command behind it by its id, and what the
command says stands in the records before and after: the id can be derived anew.
"""

from collections.abc import Iterator, Set

from tests.checker.entries import Entry
from tests.checker.evidence import Evidence
from tests.checker.lines import HISTORY_MAX
from tests.checker.messages import derived_id, retry_id

REPORTABLE = {"done", "failed", "cancelled"}  # how an entity says that it has ended
STAYS = ("run", "parent_run", "status", "units", "pages", "records", "rejected", "leases")  # when it is retried


def local_between(before: Entry, after: Entry, evidence: Evidence) -> int:
    """How many of the steps from one record to another can have been local deliveries.

    Of a single step the command is known, and must have had its effect. Of several, which a store alone kept, any
    notable one may have, if it was no request in a message; and so may those that the history does not reach back to.
    """
    if after.seq == before.seq + 1:
        return int(after.cause in set(_commands(before, after, evidence)))
    notable = [event.cause for event in after.history if event.seq > before.seq]
    forgotten = max(0, after.history[0].seq - before.seq - 1) if len(after.history) == HISTORY_MAX else 0
    requests: Set[str] = evidence.request_ids.get(after.key, frozenset())
    return forgotten + sum(cause[:16] not in requests for cause in notable)


def _commands(before: Entry, after: Entry, evidence: Evidence) -> Iterator[str]:
    """The ids of all local deliveries that can lead from the one record to the other."""
    if after.kind == "entity":
        yield from _for_an_entity(before, after, evidence)
    elif before.run == after.run:
        was = before.statuses
        for name, status in after.statuses.items():
            if was.get(name) == "running" and status in REPORTABLE:
                yield derived_id("control", "child-done", after.key, str(after.run), name)
    else:
        for run in evidence.between(before, after):
            yield derived_id("control", "outnumbered", after.key, str(before.run), str(run))


def _for_an_entity(before: Entry, after: Entry, evidence: Evidence) -> Iterator[str]:
    if after.parent_run > before.parent_run:
        yield derived_id("control", "start-entity", after.key, after.parent, str(after.parent_run))
    elif (before.run, before.status, after.status) == (after.run, "fetching", "finishing"):
        yield derived_id("control", "cancel-run", after.key, str(after.parent_run))
    elif all(getattr(before, name) == getattr(after, name) for name in STAYS):
        for request in evidence.retries.get(after.parent, ()):
            yield retry_id(after.key, request)
