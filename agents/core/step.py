"""A step: one delivery to one workflow. Skip or replay, decide, put the record, send the commands.

Whatever is delivered again puts the same record and sends the same ids, so that a crash anywhere leads to the same end.
"""

from typing import Any, Literal

import msgspec

from agents.core.context import BatchContext
from agents.core.decision import Decider, Decision
from agents.core.delivery import Delivery
from agents.core.registry import Kind
from agents.core.requests import Requests
from tables.row import HistoryEntry, Row
from topics.command import TimerDue
from topics.errors import Rejected

Outcome = Literal["decided", "ignored", "replayed", "duplicate"]


class Step:
    """Of a Rejected command only its offset is remembered; any other error must stop the process."""

    def __init__(self, kind: Kind[Any], decider: Decider[Any], delivery: Delivery, context: BatchContext) -> None:
        self._kind = kind
        self._decider = decider
        self._delivery = delivery
        self._command = delivery.command
        self._context = context
        self._requests = Requests(delivery, context)
        self._key = delivery.command.key

    def run(self) -> Outcome:
        stored = self._context.get(self._key) or Row[Any]()
        row = self._adopt_epoch(stored)
        if self._context.logs.has_folded(row, self._delivery.topic, self._delivery.offset):
            self._resend(row)
            self._replay(row)
            return "replayed"
        if self._command.is_request and self._is_duplicate(row):
            return "duplicate"
        if isinstance(self._command, TimerDue):
            if row.state is None or not self._is_due(row, self._command):
                return "ignored"
            if row.state.has_ended and not row.state.due:
                return self._forget(row)
        return self._apply(stored, row, self._decide(row))

    def _apply(self, stored: Row[Any], row: Row[Any], decision: Decision[Any]) -> Outcome:
        self._kind.check_transition(row.state, decision.state)
        is_notable = decision.state is not row.state or bool(decision.event)
        if is_notable or (decision.commands and self._delivery.offset is not None):
            self._remember(row, decision)
        elif not decision.commands:
            return self._answer_redelivery(stored, row)
        for command in decision.commands:
            self._context.send(command, decision.state.trace if decision.state else self._key)
        return "decided"

    def _is_duplicate(self, row: Row[Any]) -> bool:
        return self._requests.is_duplicate() or self._command.id in row.request_ids

    def _is_due(self, row: Row[Any], timer: TimerDue) -> bool:
        """Whether the timer is the current one, and its time has come by the broker's clock.

        Where that clock shows a time before the deadline was set, it was put back since: what our own clock measured
        counts.
        """
        if timer.due != row.due:
            return False
        if row.due_set_at <= self._delivery.at < row.due:
            self._context.postpone(self._key, row.due, row.due - self._delivery.at)
            return False
        return True

    def _forget(self, row: Row[Any]) -> Outcome:
        """The record of an ended workflow leaves the table after its retention."""
        self._requests.forget()
        self._context.delete(self._key, row)
        return "decided"

    def _decide(self, row: Row[Any]) -> Decision[Any]:
        """What was rejected stays rejected, however it is replayed: its offset is folded in."""
        try:
            if self._command.is_request:
                self._requests.check_bound()
            return self._decider.decide(row.state, self._command, self._delivery.at)
        except Rejected as error:
            if row.state is not None and self._delivery.offset is not None:
                if self._command.is_request:
                    self._requests.add_rejected(str(error))
                self._context.put(self._key, self._with_offset(row))
            raise

    def _remember(self, row: Row[Any], decision: Decision[Any]) -> None:
        """The request log first: the workflow's record may be lost behind it, but never it behind the record."""
        if self._command.is_request and decision.state is not None:
            self._requests.add()
        if decision.state is None:
            self._context.delete(self._key, row)
        else:
            self._context.put(self._key, self._folded(row, decision.state, decision))

    def _folded(self, row: Row[Any], state: Any, decision: Decision[Any]) -> Row[Any]:
        delivery = self._delivery
        due = state.due or (state.ended_at + self._kind.retention_ms if state.has_ended else 0)
        after = msgspec.structs.replace(
            self._with_offset(row),
            epoch=max(row.epoch, delivery.epoch),
            seq=row.seq + 1 if row.seq else delivery.at,
            due=due,
            due_set_at=row.due_set_at if due == row.due else delivery.at,
            state=state,
        )
        if not decision.event:
            return after
        accepted = decision.accepted
        entry = HistoryEntry(after.seq, delivery.at, self._command.id, decision.event)
        if accepted is not None:
            entry = msgspec.structs.replace(entry, request_id=accepted.request_id, run=accepted.run)
        return after.with_event(entry)

    def _answer_redelivery(self, stored: Row[Any], row: Row[Any]) -> Outcome:
        """A local delivery that changes nothing was met in a life before, and what followed from it may be lost.

        A delivery from the broker is repeated by its own offset; a local one has none.
        """
        if self._delivery.offset is not None or stored.state is None:
            return "ignored"
        is_repeated = self._delivery.redelivered or stored.epoch < self._delivery.epoch
        if not is_repeated or not self._context.is_first("resend", self._key):
            return "ignored"
        self._resend(row)
        return "replayed"

    def _adopt_epoch(self, row: Row[Any]) -> Row[Any]:
        """A record met for the first time in an epoch is put under it, whatever becomes of the delivery.

        A store that was lost and came back older may hold a record of this event that never reached the changelog. It
        must be older than ours by epoch, or restoring would take ours for the stale one.
        """
        if row.state is None or row.epoch >= self._delivery.epoch:
            return row
        adopted = msgspec.structs.replace(row, epoch=self._delivery.epoch)
        self._requests.put_again(self._delivery.epoch)
        self._context.put(self._key, adopted)
        return adopted

    def _resend(self, row: Row[Any]) -> None:
        """Put and send again: a crash may have lost either, and neither does harm twice."""
        if self._context.is_first("put requests", self._key):
            self._requests.put_again(self._delivery.epoch)
        self._context.put(self._key, row)
        if row.state is not None:
            for command in self._decider.pending_commands(row.state):
                self._context.send(command, row.state.trace, redelivered=True)

    def _replay(self, row: Row[Any]) -> None:
        """The dead letter of a rejected command may be lost: Rejected, as the first time."""
        if self._command.is_request:
            self._requests.replay()
        elif not isinstance(self._command, TimerDue):
            self._decider.decide(row.state, self._command, self._delivery.at)

    def _with_offset(self, row: Row[Any]) -> Row[Any]:
        return self._context.logs.folding(row, self._delivery.topic, self._delivery.offset)
