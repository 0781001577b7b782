"""A record of the journal, as far as it is compared. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    """A record of the journal, without what is not compared. `state` stands for the whole of it; status is "" and run
    0 in a tombstone."""

    key: str
    partition: int
    offset: int
    generation: int
    seq: int
    due: int = 0
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
    trail: tuple[tuple[int, str], ...] = ()  # the last notable steps: seq, and the id of the command that caused it

    @property
    def guard(self) -> tuple[int, int]:
        return self.generation, self.seq

    @property
    def cause(self) -> str:
        """The id of the command that led to this record; "" if it was not notable."""
        seq, cause = self.trail[-1] if self.trail else (-1, "")
        return cause if seq == self.seq else ""

    @property
    def is_first(self) -> bool:
        """Whether nothing was known of the workflow before: the trail begins with this very record."""
        return bool(self.trail) and self.trail[0][0] == self.seq

    @property
    def run_id(self) -> str:
        return f"{self.key}@{self.run}"

    @property
    def where(self) -> str:
        return f"{self.key} (journal {self.partition}/{self.offset}, generation {self.generation}, seq {self.seq})"
