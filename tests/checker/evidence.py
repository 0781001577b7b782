"""What was found lying about after a run: plain values, so that a test can make them up. Knows no invariant."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from tests.checker.entries import Entry
from tests.checker.lines import ENDED, Line, lines_of, newest_of

Origin = tuple[str, int, int]  # topic, partition, offset
Place = tuple[str, str, int]  # run id, parent, page


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
class Said:
    """A command that the engine itself sent: `digest` stands for its topic and its value, `id` is its header's."""

    origin: Origin
    digest: bytes
    id: str


@dataclass(frozen=True, slots=True)
class Told:
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
    """A page that the simulator handed over; `at` is when it was asked for (Unix seconds), if the journal tells."""

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
    """The newest record of a run, whole: value as in the journal."""

    generation: int
    seq: int
    value: bytes


@dataclass(frozen=True, slots=True)
class Published:
    """A line of a status table: its columns as they are, times as Unix ms, state decoded."""

    run_id: str
    columns: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Store:
    """A partition's RocksDB: the changelog offset that it says it holds, and what it holds."""

    path: str
    partition: int
    position: int | None
    values: Mapping[bytes, bytes]


@dataclass(frozen=True)
class Evidence:
    """All of it. What was not given to be read is None.

    `outnumbered` are main syncs and their runs that a message called so, `asked` those for which a message asked an
    entity to run, `nudges` how many messages with which request id nudged whom. `events` are the offsets of the control
    topics' messages by topic, partition and workflow, ascending. `seen` and `causes` are the ids in any record of the
    journal. `folded` is the journal's newest record of each workflow, by partition; `position` the offset of the last
    record that changed it.
    """

    read_at_ms: int = 0
    logs: Sequence[LogFacts] = ()
    starts: Sequence[Message] = ()
    said: Sequence[Said] = ()
    told: Mapping[tuple[int, int], Told] = field(default_factory=dict)
    outnumbered: frozenset[tuple[str, int]] = frozenset()
    asked: frozenset[tuple[str, int]] = frozenset()
    nudges: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    events: Mapping[tuple[str, int, str], Sequence[int]] = field(default_factory=dict)
    letters: Sequence[Letter] = ()
    journal: Sequence[Entry] = ()
    seen: frozenset[str] = frozenset()
    causes: frozenset[str] = frozenset()
    folded: Mapping[int, Mapping[bytes, bytes]] = field(default_factory=dict)
    position: Mapping[int, int] = field(default_factory=dict)
    newest: Mapping[str, Newest] = field(default_factory=dict)
    audit: Sequence[AuditLine] = ()
    changes: Sequence[RunChange] = ()
    runs: Sequence[Run] = ()
    tables: Sequence[Table] = ()
    expected: Mapping[tuple[str, str], Expected] = field(default_factory=dict)
    published: Sequence[Published] = ()
    served: Sequence[Served] | None = None
    produced: Sequence[Message] | None = None
    poison: Sequence[Poison] | None = None
    stores: Sequence[Store] | None = None

    @cached_property
    def lines(self) -> list[Line]:
        """The winning lines of all workflows."""
        return lines_of(self.journal)

    @cached_property
    def parent_runs(self) -> Mapping[str, frozenset[int]]:
        """Under which runs of each main sync an entity has ever said it was, also where that came to nothing."""
        found: defaultdict[str, set[int]] = defaultdict(set)
        for entry in self.journal:
            if entry.kind == "entity":
                found[entry.parent].add(entry.parent_run)
        return {parent: frozenset(runs) for parent, runs in found.items()}

    @cached_property
    def given_up(self) -> frozenset[tuple[str, int]]:
        """Main syncs and their runs that were outnumbered: by a message, or by what an entity's record says."""
        pairs = (pair for line in self.lines for pair in zip(line.wins, line.wins[1:], strict=False))
        return self.outnumbered.union(
            (before.key, before.run) for before, after in pairs if self.between(before, after)
        )

    def between(self, before: Entry, after: Entry) -> list[int]:
        """Runs that an entity was under, above the one that its main sync gave up and below the one that followed.

        Strictly below: the entities of the run that followed are under that one, outnumbered or not.
        """
        if before.kind != "sync" or before.status in ENDED:
            return []
        return sorted(run for run in self.parent_runs.get(before.key, ()) if before.run < run < after.run)

    @cached_property
    def now(self) -> Mapping[str, Entry]:
        """What each workflow is at."""
        return {entry.key: entry for entry in newest_of(self.lines)}
