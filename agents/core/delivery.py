"""A delivery to a workflow, and the context in which its step reads, writes and sends."""

from dataclasses import dataclass
from typing import Any, Protocol

from tables.requests import RequestLog
from tables.row import Row
from topics.command import Command


@dataclass(frozen=True, slots=True)
class Delivery:
    """A command and where it was met. `at` is the broker's time (Unix ms), `epoch` that of the process's life.

    Without an offset it was delivered locally; `redelivered`: it may have been before.
    """

    topic: str
    offset: int | None
    at: int
    epoch: int
    command: Command
    redelivered: bool = False

    @property
    def position(self) -> str:
        """Of its message within its partition; empty for a local delivery."""
        return "" if self.offset is None else f"{self.topic}@{self.offset}"


class StepContext(Protocol):
    """What a step may read, write and send: the records of one partition, and a way out for commands."""

    def get(self, key: str) -> Row[Any] | None: ...

    def put(self, key: str, row: Row[Any] | None) -> None:
        """The workflow's record from now on; None takes it out of the table."""
        ...

    def get_requests(self, key: str, slot: int) -> RequestLog:
        """The workflow's request log in a slot (tables.requests), an empty one if there is none."""
        ...

    def put_requests(self, key: str, slot: int, log: RequestLog | None) -> None: ...

    def send(self, command: Command, trace: str, redelivered: bool = False) -> None:
        """Publish a command or deliver it locally; `trace` is its run's. `redelivered`: it may have been before."""
        ...

    def postpone(self, key: str, due: int, milliseconds: int) -> None:
        """The workflow's deadline is not reached yet: deliver its timer again after so long."""
        ...

    def first_redelivery(self, key: str) -> bool:
        """True the first time in a batch: a workflow resends its pending commands once because of local deliveries."""
        ...
