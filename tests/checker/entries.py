"""A record of the journal, as far as it is compared. Pure."""

from dataclasses import dataclass, field
from typing import NamedTuple


class Event(NamedTuple):
    """A notable step: its seq and time (Unix ms), the id of the command that caused it, what happened in words.

    Where a request was accepted: its id, and the number of the run that it led to (0: none yet).
    """

    seq: int
    at: int
    cause: str
    text: str = ""
    request: str = ""
    run: int = 0


@dataclass(frozen=True, slots=True)
class Entry:
    """A workflow's record. `state` stands for the whole of it; status is "" and run 0 in a tombstone."""

    key: str
    partition: int
    offset: int
    epoch: int
    seq: int
    due: int = 0
    due_set_at: int = 0
    is_tombstone: bool = False
    head_agrees: bool = True
    state: bytes = b""
    kind: str = ""
    status: str = ""
    reason: str = ""
    run: int = 0
    request: str = ""
    parent: str = ""
    parent_run: int = 0
    fenced: int = 0
    units: int = 0
    pages: int = 0
    records: int = 0
    rejected: int = 0
    leases: tuple[tuple[int, int, int], ...] = ()  # number, attempt, first
    children: tuple[str, ...] = ()
    child_statuses: tuple[str, ...] = ()
    last_offset: tuple[tuple[str, int], ...] = ()
    history: tuple[Event, ...] = ()  # the last notable steps

    @property
    def guard(self) -> tuple[int, int]:
        return self.epoch, self.seq

    @property
    def event(self) -> Event | None:
        """What happened in the step that led to this record; None if it was not notable."""
        last = self.history[-1] if self.history else None
        return last if last is not None and last.seq == self.seq else None

    @property
    def cause(self) -> str:
        """The id of the command that led to this record; "" if it was not notable."""
        return self.event.cause if self.event else ""

    @property
    def is_first(self) -> bool:
        """Whether nothing was known of the workflow before: the history begins with this very record."""
        return bool(self.history) and self.history[0].seq == self.seq

    @property
    def run_id(self) -> str:
        return f"{self.key}@{self.run}"

    @property
    def where(self) -> str:
        return f"{self.key} (journal {self.partition}/{self.offset}, epoch {self.epoch}, seq {self.seq})"


@dataclass(frozen=True, slots=True)
class RequestLog:
    """A record of the requests that a workflow had on one day. `faults` are what is wrong with it in itself.

    `ids` are those of accepted requests that came as messages, shortened as they are kept.
    """

    workflow: str
    partition: int
    epoch: int
    seq: int
    day: int
    ids: frozenset[str]
    faults: list[str] = field(default_factory=list)
