"""Values that evidence is made of, a line of something each. Knows no invariant."""

from collections.abc import Mapping
from dataclasses import dataclass

Origin = tuple[str, int, int]  # topic, partition, offset
Place = tuple[str, str, int]  # run id, parent, page
TimelineRow = tuple[str, int, int, str, str, str, str]  # workflow, at, seq, cause, event, request id, run id


@dataclass(frozen=True, slots=True)
class LogFacts:
    """One partition of a topic: from where to where it reaches, how many records were read, where some are missing."""

    topic: str
    partition: int
    begin: int
    end: int
    read: int
    holes: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Message:
    """A record of a topic that people write to, as it came."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None


@dataclass(frozen=True, slots=True)
class SentCommand:
    """A command that the engine itself sent: `digest` stands for its topic and its value, `id` is its header's.

    `derived` is the id that follows from what it says, empty where that is not derived anew.
    """

    origin: Origin
    digest: bytes
    id: str
    derived: str = ""


@dataclass(frozen=True, slots=True)
class PageResult:
    """A page-done message."""

    workflow: str
    run: int
    lease: int
    attempt: int
    first: int | None
    units: int
    pages: int
    records: int
    rejected: int


@dataclass(frozen=True, slots=True)
class ActionStep:
    """A unit of an action's work: an attempt at a step of a run."""

    workflow: str
    run: int
    action: str
    name: str
    attempt: int


@dataclass(frozen=True, slots=True)
class ActionResult:
    """An action-complete message; `result` is what the action returned, `error` empty if it did."""

    step: ActionStep
    error: str
    result: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter: `origin` is what its headers say; `forwarded` where the message stood first, if it was sent on."""

    partition: int
    offset: int
    origin: Origin
    reason: str
    key: bytes | None
    value: bytes | None
    forwarded: Origin | None = None


@dataclass(frozen=True, slots=True)
class AuditLine:
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


@dataclass(frozen=True, slots=True)
class RunChange:
    """A run's state as the trigger saw it change; ids are of the same sequence as those of the lines."""

    id: int
    run_id: str
    state: str
    txid: int
    at: float


@dataclass(frozen=True, slots=True)
class Run:
    """A line of sluice_runs, with what still stands in the ledger under it."""

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
    ledger_pages: int = 0
    ledger_records: int = 0
    ledger_rejected: int = 0


@dataclass(frozen=True, slots=True)
class Table:
    """An entity's rows of one organisation. `faults` are rows that contradict themselves, a sentence each."""

    org: str
    entity: str
    rows: int
    sha256: str
    faults: tuple[str, ...] = ()
    places: frozenset[tuple[str, str | None, int]] = frozenset()  # run id, parent (None: not under one), page


@dataclass(frozen=True, slots=True)
class Expected:
    """What the source has of an entity."""

    rows: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Served:
    """A page that the simulator served; `at` is when it was requested (Unix seconds), if the journal has it."""

    org: str
    entity: str
    parent: str
    page: int
    at: float | None = None


@dataclass(frozen=True, slots=True)
class Poison:
    """A message that the harness sent although it can never be handled."""

    origin: Origin
    what: str


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest record of a run of a workflow, whole: value as in the journal."""

    workflow: str
    epoch: int
    seq: int
    value: bytes


@dataclass(frozen=True, slots=True)
class Published:
    """A line of a status table or view: its columns as they are, times as Unix ms, JSON decoded."""

    table: str
    run_id: str
    columns: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Store:
    """A partition's RocksDB: the changelog offset that it says it holds, and what it holds."""

    path: str
    partition: int
    position: int | None
    values: Mapping[bytes, bytes]
