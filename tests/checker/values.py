"""Values that evidence is made of, a line of something each. Knows no invariant."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

Origin = tuple[str, int, int]  # topic, partition, offset
Place = tuple[str, str, int]  # run id, parent, page
TimelineRow = tuple[str, int, int, str, str, str, str]  # workflow, at, seq, cause, event, request id, run id
ActionStep = tuple[str, int, str, str, int]  # workflow, run, action, step, attempt
Life = tuple[float | None, float | None]  # birth and death, Unix seconds; None: before the first one, not yet
Lives = Mapping[tuple[str, str], Mapping[str, Life]]  # by organisation and entity, then by id
HOLES_SHOWN_MAX = 10


def at(origin: Origin) -> str:
    topic, partition, offset = origin
    return f"{topic} {partition}/{offset}"


class LogFacts(Struct):
    """One partition of a topic: from where to where it reaches, how many records were read, where some are missing.

    `next` is the offset up to which it is read.
    """

    topic: str
    partition: int
    begin: int
    end: int
    read: int = 0
    holes: list[int] = []
    next: int = 0

    def take(self, offset: int) -> bool:
        """False for what stands behind the end as it was when reading began."""
        if offset >= self.end:
            self.next = self.end
            return False
        self.skip(offset)
        self.next, self.read = offset + 1, self.read + 1
        return True

    def skip(self, position: int) -> None:
        upto = min(position, self.end)
        if upto > self.next:
            if len(self.holes) < HOLES_SHOWN_MAX:
                self.holes.append(self.next)
            self.next = upto


class Message(Struct, frozen=True):
    """A record of a topic that people write to, as it came. `stored_at` is the broker's time, in Unix ms."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    stored_at: int = 0

    @property
    def origin(self) -> Origin:
        return self.topic, self.partition, self.offset


class SentCommand(Struct, frozen=True):
    """A command that the engine itself sent: `digest` stands for its topic and its value, `id` is its header's.

    `derived` is the id that follows from what it says, empty where that is not derived anew.
    """

    origin: Origin
    digest: bytes
    id: str
    derived: str = ""


class PageResult(Struct, frozen=True):
    """A page-done message."""

    workflow: str
    run: int
    lease: int
    units: int
    pages: int
    records: int
    attempt: int = 1
    first: int | None = None
    rejected: int = 0


class Action(Struct, frozen=True):
    """A run-action or an action-complete; `result` is what the action returned."""

    workflow: str
    run: int
    action: str
    step: str
    attempt: int = 1
    error: str | None = None
    result: dict[str, Any] = {}

    @property
    def about(self) -> ActionStep:
        """The unit of work that it asks for or answers."""
        return self.workflow, self.run, self.action, self.step, self.attempt


class Letter(Struct, frozen=True):
    """A dead letter: `origin` is what its headers say; `forwarded` where the message stood first, if it was sent on."""

    partition: int
    offset: int
    origin: Origin
    reason: str
    key: bytes | None
    value: bytes | None
    forwarded: Origin | None = None


class AuditLine(Struct, frozen=True):
    """A ledger line as the trigger saw it inserted. `id` grows in the order of the inserts; `at` is Unix seconds."""

    id: int
    run_id: str
    parent: str
    page: int
    records: int
    rejected: int
    state: str
    txid: int
    at: float
    committed_at: float | None = None

    @property
    def place(self) -> Place:
        return self.run_id, self.parent, self.page


class RunChange(Struct, frozen=True):
    """A run's state as the trigger saw it change; ids are of the same sequence as those of the lines."""

    id: int
    run_id: str
    state: str
    txid: int
    at: float


class Proof(Struct, frozen=True):
    """What a run that read everything says of its completeness: proven or not, how that is known or why it is not, and
    from how many pages, repairs among them."""

    complete: bool
    reason: str
    pages: int
    repairs: int = 0


class Run(Struct, frozen=True):
    """A line of sluice_runs; pages, records and rejected are its totals with what still stands in the ledger."""

    run_id: str
    workflow: str
    number: int
    org: str
    adapter: str
    entity: str
    state: str
    pages: int
    records: int
    rejected: int
    proof: Proof | None = None

    @property
    def holds(self) -> tuple[int, int, int]:
        return self.pages, self.records, self.rejected


class Table(Struct, frozen=True):
    """An entity's rows of one organisation. `faults` are rows that contradict themselves, a sentence each.

    Number and hash are without the rows of records that died; `keys` are those of all rows, if any record came or went.
    """

    org: str
    entity: str
    rows: int
    sha256: str
    faults: tuple[str, ...] = ()
    places: frozenset[tuple[str, str | None, int]] = frozenset()  # run id, parent (None: not under one), page
    keys: frozenset[str] = frozenset()


class Expected(Struct, frozen=True):
    """What the source has of an entity."""

    rows: int
    sha256: str


class Served(Struct, frozen=True):
    """A page that the simulator served; `at` is when it was requested (Unix seconds), if the journal has it."""

    org: str
    entity: str
    parent: str
    page: int
    at: float | None = None


class Store(Struct, frozen=True):
    """A partition's RocksDB: the changelog offset that it says it holds, and what it holds."""

    path: str
    partition: int
    position: int | None
    values: Mapping[bytes, bytes]
