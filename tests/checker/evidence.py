"""The evidence of a run, so that a test can make it up. Knows no invariant."""

from collections.abc import Mapping
from functools import cached_property
from itertools import pairwise
from math import inf

from msgspec import Struct

from tests.checker import values
from tests.checker.entries import Entry, Newest, RequestLog
from tests.checker.lines import ENDED, Line, lines_of, newest_of
from tests.checker.values import ActionStep, Origin, TimelineRow


class Evidence(Struct, dict=True):
    """All of it, filled by the readers. What was not given to be read is None.

    `stale_runs` are main syncs and their runs that a message called so, `parents_started` those for which a message
    started an entity, `retries` the request ids of the messages that asked whom to retry. `offsets` are those of the
    control topics' messages by topic, partition and workflow, ascending. `actions` are the steps of which a run-action
    was sent. `request_ids` are, by workflow, the shortened ids of requests that were accepted as messages, in any
    record of the journal; `events` is all that happened, as rows of the timeline. `folded` is the journal's newest
    record of each key, by partition; `position` the offset of the last record that changed it; `cut_off` how many
    records do not count; `last` the last record of each key in Kafka, and `compacted` how many it does not have any
    more. `published` are the columns of each run by status table or view and run id, times as Unix ms, JSON decoded;
    `poison` says what was wrong with messages that the harness sent although they can never be handled. `lives` are
    those of the source's records, of the entities of which any record came or went.
    """

    read_at_ms: int = 0
    logs: list[values.LogFacts] = []
    starts: list[values.Message] = []
    sent: list[values.SentCommand] = []
    results: dict[tuple[int, int], values.PageResult] = {}
    actions: set[ActionStep] = set()
    action_results: dict[tuple[int, int], values.Action] = {}
    stale_runs: set[tuple[str, int]] = set()
    parents_started: set[tuple[str, int]] = set()
    retries: dict[str, set[str]] = {}
    offsets: dict[tuple[str, int, str], list[int]] = {}
    letters: list[values.Letter] = []
    journal: list[Entry] = []
    request_logs: list[RequestLog] = []
    request_ids: Mapping[str, set[str]] = {}
    events: frozenset[TimelineRow] = frozenset()
    folded: dict[int, dict[bytes, bytes]] = {}
    cut_off: int = 0
    last: dict[int, dict[bytes, bytes | None]] = {}
    compacted: int = 0
    position: dict[int, int] = {}
    newest: dict[str, Newest] = {}
    audit: list[values.AuditLine] = []
    changes: list[values.RunChange] = []
    runs: list[values.Run] = []
    tables: list[values.Table] = []
    expected: dict[tuple[str, str], values.Expected] = {}
    lives: values.Lives | None = None
    published: dict[tuple[str, str], Mapping[str, object]] = {}
    timeline: list[TimelineRow] = []
    served: list[values.Served] | None = None
    produced: list[values.Message] | None = None
    poison: dict[Origin, str] | None = None
    stores: list[values.Store] | None = None

    @cached_property
    def causes(self) -> frozenset[str]:
        """The ids of all commands that led to anything notable."""
        return frozenset(cause for _, _, _, cause, *_ in self.events)

    @cached_property
    def lines(self) -> list[Line]:
        """The winning lines of all workflows."""
        return lines_of(self.journal)

    @cached_property
    def runs_by_id(self) -> Mapping[str, values.Run]:
        return {run.run_id: run for run in self.runs}

    @cached_property
    def times(self) -> Mapping[str, tuple[float, float]]:
        """When each run was opened and when it ended (infinity: not yet), by the database's clock."""
        opened: dict[str, float] = {}
        ended: dict[str, float] = {}
        for change in self.changes:
            opened.setdefault(change.run_id, change.at)
            if change.state != "open":
                ended.setdefault(change.run_id, change.at)
        return {run_id: (at, ended.get(run_id, inf)) for run_id, at in opened.items()}

    @cached_property
    def parent_runs(self) -> Mapping[str, set[int]]:
        """Under which runs of each main sync an entity has ever said it was, also where that came to nothing."""
        found: dict[str, set[int]] = {}
        for entry in self.journal:
            if entry.kind == "entity":
                found.setdefault(entry.parent, set()).add(entry.parent_run)
        return found

    @cached_property
    def given_up(self) -> set[tuple[str, int]]:
        """Main syncs and their stale runs: by a message, or by what an entity's record says."""
        pairs = (pair for line in self.lines for pair in pairwise(line.wins))
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
