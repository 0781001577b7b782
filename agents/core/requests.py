"""The requests of one workflow: whether a delivered one was had before, and what became of it."""

from collections.abc import Iterator
from contextlib import suppress

import msgspec

from agents.core.context import BatchContext
from agents.core.delivery import Delivery
from tables.requests import SLOTS, RequestLog, day_of, slot_of
from topics.errors import Rejected


class Requests:
    """The request logs of the workflow that a command is delivered to."""

    def __init__(self, delivery: Delivery, context: BatchContext) -> None:
        self._delivery = delivery
        self._context = context
        self._key = delivery.command.key
        self._slot = slot_of(delivery.at)

    def is_duplicate(self) -> bool:
        """Whether the delivered request was accepted before, from another message, within the last week."""
        command, position, oldest = self._delivery.command, self._delivery.position, day_of(self._delivery.at) - SLOTS
        return any(log.day > oldest and log.is_duplicate(command.id, position) for _, log in self._logs())

    def check_bound(self) -> None:
        """Rejected if the workflow has had too many of them today."""
        self._with_delivered("")

    def add(self, rejection: str = "") -> None:
        """The delivered request was accepted or, with a reason, rejected."""
        self._context.put_requests(self._key, self._slot, self._with_delivered(rejection))

    def add_rejected(self, reason: str) -> None:
        with suppress(Rejected):  # one too many: that is why it is rejected
            self.add(reason)

    def replay(self) -> None:
        """Rejected, as when the delivered request was first met: its dead letter may be lost."""
        logged = self._log().find(self._delivery.command.id, self._delivery.position)
        if logged is None:
            self.add_lost()
        elif logged.rejection:
            raise Rejected(logged.rejection)

    def add_lost(self) -> None:
        """A replayed request that is in no log was a duplicate, or its log is lost, or it was one too many: Rejected.

        A newer day's log, in the place of its own, is left as it is.
        """
        if self._log().day <= day_of(self._delivery.at) and not self.is_duplicate():
            self.add()

    def put_again(self, epoch: int) -> None:
        """Every log, under this epoch at least: a crash may have kept them from the changelog."""
        for slot, log in self._logs():
            self._context.put_requests(self._key, slot, msgspec.structs.replace(log, epoch=max(log.epoch, epoch)))

    def forget(self) -> None:
        for slot, log in self._logs():
            self._context.delete_requests(self._key, slot, log)

    def _log(self) -> RequestLog:
        return self._context.get_requests(self._key, self._slot)

    def _with_delivered(self, rejection: str) -> RequestLog:
        delivery = self._delivery
        return self._log().adding(delivery.command.id, delivery.position, delivery.at, delivery.epoch, rejection)

    def _logs(self) -> Iterator[tuple[int, RequestLog]]:
        for slot in range(SLOTS):
            log = self._context.get_requests(self._key, slot)
            if log.requests:
                yield slot, log
