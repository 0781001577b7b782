"""Negative controls: the engine with one protection off. Each must be caught, or the checker proves nothing."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

from agents.activities import closing, enumeration, pages
from agents.activities.lease import Lease
from agents.core.decision import Decision
from agents.core.requests import Requests
from agents.core.step import Step
from tables.logs import SourceLogs
from tables.row import Row
from tests.engine.protections import Protections
from topics.kinds.sync import StartSync


@dataclass(frozen=True)
class Control:
    """What is off: in the product's own code, or in what stands around it."""

    patched: Callable[[], AbstractContextManager[None]] = nullcontext
    protections: Protections = field(default_factory=Protections)


@contextmanager
def no_dedupe() -> Iterator[None]:
    """A replayed event is decided again, a request that was met before too."""
    with patch.object(SourceLogs, "has_folded", lambda self, row, topic, offset: False), no_memory_of_requests():
        yield


@contextmanager
def no_put_on_replay() -> Iterator[None]:
    """Neither as a replay nor as the first of a new epoch."""

    def resend(self: Any, row: Row[Any]) -> None:
        for command in self._decider.pending_commands(row.state) if row.state else ():
            self._context.send(command, self._key, redelivered=True)

    with patch.object(Step, "_resend", resend), patch.object(Step, "_adopt_epoch", lambda self, row: row):
        yield


@contextmanager
def no_resend_on_replay() -> Iterator[None]:
    with patch.object(Step, "_resend", lambda self, row: self._context.put(self._key, row)):
        yield


@contextmanager
def no_memory_of_requests() -> Iterator[None]:
    with patch.object(Requests, "is_duplicate", lambda self: False):
        yield


@contextmanager
def request_log_behind_the_record() -> Iterator[None]:
    """A crash between the two loses the request and keeps what it led to; and no replay adds it to the log again."""

    def remember(self: Any, row: Row[Any], decision: Decision[Any]) -> None:
        self._context.put(self._key, self._folded(row, decision))
        if self._command.is_request and decision.state is not None:
            self._requests.add()

    with patch.object(Step, "_remember", remember), patch.object(Requests, "add_lost", lambda self: None):
        yield


@contextmanager
def premature_timers() -> Iterator[None]:
    """A worker whose clock is ahead decides before the time has come."""
    with patch.object(Step, "_is_due", lambda self, row, timer: timer.due == row.due):
        yield


@contextmanager
def no_ledger() -> Iterator[None]:
    """A fetcher that does not look what is committed before it fetches."""
    open_lease = Lease.open

    async def forgetful(self: Lease, parents: tuple[str, ...] = ()) -> None:
        await open_lease(self, parents)
        self.lines.clear()

    with patch.object(Lease, "open", forgetful):
        yield


@contextmanager
def ids_that_are_drawn() -> Iterator[None]:
    """A request that is delivered again is another request."""
    count = iter(range(10**9))
    with patch.object(StartSync, "identity", property(lambda self: (self.key, str(next(count))))):
        yield


@contextmanager
def no_rejection_on_replay() -> Iterator[None]:
    """What was rejected before a crash has no dead letter afterwards."""
    with patch.object(Step, "_replay", lambda self, row: None):
        yield


@contextmanager
def gaps_that_nobody_repairs() -> Iterator[None]:
    """Pages that do not meet count as all that there is."""
    with patch.object(enumeration, "first_gap", lambda covered: None):
        yield


@contextmanager
def contradictions_that_are_believed() -> Iterator[None]:
    """A page is what it says, whatever the one before it said."""
    with patch.object(pages, "contradiction", lambda body, address, layout, front: None):
        yield


@contextmanager
def lost_pages_that_stay_lost() -> Iterator[None]:
    """What the database lost after it was reported is not read again."""
    with (
        patch.object(closing, "_lacking", lambda lease: None),
        patch.object(enumeration, "open_end", lambda lines: None),
    ):
        yield


CONTROLS: Mapping[str, Control] = {
    "no dedupe": Control(no_dedupe),
    "no memory of requests": Control(no_memory_of_requests),
    "no fence": Control(protections=Protections(run_fence=False)),
    "commit before flush": Control(protections=Protections(flush_before_commit=False)),
    "no re-put on replay": Control(no_put_on_replay),
    "no resend on replay": Control(no_resend_on_replay),
    "no rejection on replay": Control(no_rejection_on_replay),
    "request log behind the record": Control(request_log_behind_the_record),
    "premature timers": Control(premature_timers),
    "wrong id derivation": Control(ids_that_are_drawn),
    "Faust's exactly_once": Control(protections=Protections(one_flush_for_all=False)),
    "no ledger": Control(no_ledger),
    "no guard on restore": Control(protections=Protections(restore_guard=False)),
    "nothing put again": Control(protections=Protections(overtaking=False)),
    "no first record of an epoch": Control(protections=Protections(epochs_begin_in_journal=False)),
    "no repair of gaps": Control(gaps_that_nobody_repairs),
    "no doubt about pages": Control(contradictions_that_are_believed),
    "no look for lost pages": Control(lost_pages_that_stay_lost),
    "no order of reads": Control(protections=Protections(newest_read=False)),
    "no fence of the group": Control(protections=Protections(group_fence=False)),
}
