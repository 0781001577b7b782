"""A delivery of a command to its workflow."""

from dataclasses import dataclass

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
        """Of its message within its partition; empty for a local delivery.

        With the time: in a topic that was created again another message has the same offset.
        """
        return "" if self.offset is None else f"{self.topic}@{self.offset}/{self.at}"
