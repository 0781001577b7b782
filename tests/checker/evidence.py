"""The evidence of a run, so that a test can make it up. Knows no invariant."""

from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import cached_property

from tests.checker.entries import Entry, RequestLog
from tests.checker.lines import ENDED, Line, lines_of, newest_of
from tests.checker.values import (
    ActionResult,
    ActionStep,
    AuditLine,
    Expected,
    Letter,
    LogFacts,
    Message,
    Newest,
    PageResult,
    Poison,
    Published,
    Run,
    RunChange,
    SentCommand,
    Served,
    Store,
    Table,
    TimelineRow,
)


@dataclass(frozen=True)
class Evidence:
    """All of it. What was not given to be read is None.

    `stale_runs` are main syncs and their runs that a message called so, `parents_started` those for which a message
    started an entity, `retries` the request ids of the messages that asked whom to retry. `offsets` are those of the
    control topics' messages by topic, partition and workflow, ascending. `actions` are the steps of which a run-action
    was sent. `request_ids` are, by workflow, the shortened ids of requests that were accepted as messages, in any
    record of the journal; `events` is all that happened, as rows of the timeline. `folded` is the journal's newest
    record of each key, by partition; `position` the offset of the last record that changed it.
    """

    read_at_ms: int = 0
    logs: Sequence[LogFacts] = ()
    starts: Sequence[Message] = ()
    sent: Sequence[SentCommand] = ()
    results: Mapping[tuple[int, int], PageResult] = field(default_factory=dict)
    actions: frozenset[ActionStep] = frozenset()
    action_results: Mapping[tuple[int, int], ActionResult] = field(default_factory=dict)
    stale_runs: frozenset[tuple[str, int]] = frozenset()
    parents_started: frozenset[tuple[str, int]] = frozenset()
    retries: Mapping[str, Set[str]] = field(default_factory=dict)
    offsets: Mapping[tuple[str, int, str], Sequence[int]] = field(default_factory=dict)
    letters: Sequence[Letter] = ()
    journal: Sequence[Entry] = ()
    request_logs: Sequence[RequestLog] = ()
    request_ids: Mapping[str, Set[str]] = field(default_factory=dict)
    events: Set[TimelineRow] = frozenset()
    folded: Mapping[int, Mapping[bytes, bytes]] = field(default_factory=dict)
    position: Mapping[int, int] = field(default_factory=dict)
    newest: Mapping[str, Newest] = field(default_factory=dict)
    audit: Sequence[AuditLine] = ()
    changes: Sequence[RunChange] = ()
    runs: Sequence[Run] = ()
    tables: Sequence[Table] = ()
    expected: Mapping[tuple[str, str], Expected] = field(default_factory=dict)
    published: Sequence[Published] = ()
    timeline: Sequence[TimelineRow] = ()
    served: Sequence[Served] | None = None
    produced: Sequence[Message] | None = None
    poison: Sequence[Poison] | None = None
    stores: Sequence[Store] | None = None

    @cached_property
    def causes(self) -> frozenset[str]:
        """The ids of all commands that led to anything notable."""
        return frozenset(cause for _, _, _, cause, *_ in self.events)

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
        """Main syncs and their stale runs: by a message, or by what an entity's record says."""
        pairs = (pair for line in self.lines for pair in zip(line.wins, line.wins[1:], strict=False))
        return self.stale_runs.union((before.key, before.run) for before, after in pairs if self.between(before, after))

    def between(self, before: Entry, after: Entry) -> list[int]:
        """Runs that an entity was under, above the one that its main sync gave up and below the one that followed.

        Strictly below: the entities of the run that followed are under that one, stale or not.
        """
        if before.kind != "sync" or before.status in ENDED:
            return []
        return sorted(run for run in self.parent_runs.get(before.key, ()) if before.run < run < after.run)

    @cached_property
    def now(self) -> Mapping[str, Entry]:
        """What each workflow is at."""
        return {entry.key: entry for entry in newest_of(self.lines)}
