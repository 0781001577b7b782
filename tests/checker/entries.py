"""The journal's records, as far as they are compared. Pure."""

from typing import NamedTuple

from msgspec import Struct


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


class Compared(Struct, frozen=True):
    """What is compared of a workflow's state; the rest of it is only hashed."""

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


class Entry(Compared, frozen=True, kw_only=True):
    """A workflow's record in the journal. `state` stands for the whole of it; status is "" and run 0 in a tombstone."""

    key: str
    partition: int
    offset: int
    epoch: int = 0
    seq: int = 0
    due: int = 0
    due_set_at: int = 0
    is_tombstone: bool = False
    head_agrees: bool = True
    state: bytes = b""
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
    def statuses(self) -> dict[str, str]:
        """Of a main sync's entities, by name."""
        return dict(zip(self.children, self.child_statuses, strict=True))

    @property
    def run_id(self) -> str:
        return f"{self.key}@{self.run}"

    @property
    def where(self) -> str:
        return f"{self.key} (journal {self.partition}/{self.offset}, epoch {self.epoch}, seq {self.seq})"

    def position(self, topic: str) -> int:
        """The offset in a topic up to which the workflow has read; -1 if it has read nothing there."""
        return dict(self.last_offset).get(topic, -1)

    def child(self, name: str) -> str:
        """The key of a main sync's entity."""
        _, org, adapter, type_ = self.key.split(":")
        return f"entity-sync:{org}:{adapter}:{name}:{type_}"


class RequestLog(Struct, frozen=True):
    """A record of the requests that a workflow had on one day. `faults` are what is wrong with it in itself.

    `ids` are those of accepted requests that came as messages, shortened as they are kept.
    """

    workflow: str
    partition: int
    epoch: int
    seq: int
    day: int
    ids: frozenset[str]
    faults: list[str] = []


class Newest(Struct, frozen=True):
    """The newest record of a run of a workflow, whole: value as in the journal."""

    workflow: str
    epoch: int
    seq: int
    value: bytes
