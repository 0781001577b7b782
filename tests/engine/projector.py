"""The projector's process, and the tables that it publishes to."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain

from agents.core.registry import Registry
from service.status.progress import Progress, Step
from service.status.rows import RUN_COLUMNS, StatusRows, Values, status_rows
from tests.engine.broker import Member
from tests.engine.process import Process
from topics.catalog import CHANGELOG

POLL_MAX = 8
PublishedRow = dict[str, object]


@dataclass
class Published:
    """The status tables: a row per run, replaced by a newer one only, by (epoch, seq).

    `superseded` are the runs that a newer one of their workflow replaced, or that never counted.
    """

    runs: dict[object, PublishedRow] = field(default_factory=dict)
    timeline: set[Values] = field(default_factory=set)
    superseded: set[object] = field(default_factory=set)
    progress: dict[int, Progress] = field(default_factory=lambda: defaultdict(Progress))

    def publish(self, rows: StatusRows, steps: Sequence[Step]) -> bool:
        if any(self.progress[step.partition] != step.before for step in steps):
            return False
        self.progress.update({step.partition: step.after for step in steps})
        for values in rows.runs:
            row = dict(zip(RUN_COLUMNS, values, strict=True))
            before = self.runs.get(row["run_id"])
            if before is None or guard(row) > guard(before):
                self.runs[row["run_id"]] = row
                self.superseded.discard(row["run_id"])
        self.timeline.update(rows.timeline)
        for workflow in rows.workflows:
            self._supersede(workflow, max(guard(row) for row in self._runs_of(workflow)))
        for workflow, epoch, seq in rows.retired:
            self._supersede(workflow, (epoch, seq))
        return True

    def _supersede(self, workflow: object, newest: tuple[int, int]) -> None:
        runs = [row for row in self._runs_of(workflow) if row["ended_at"] is None]
        self.superseded.update(row["run_id"] for row in runs if guard(row) < newest)

    def _runs_of(self, workflow: object) -> list[PublishedRow]:
        return [row for row in self.runs.values() if row["workflow"] == workflow]


def guard(row: PublishedRow) -> tuple[int, int]:
    epoch, seq = row["epoch"], row["seq"]
    assert isinstance(epoch, int)
    assert isinstance(seq, int)
    return epoch, seq


@dataclass(eq=False)
class Projector(Process):
    registry: Registry
    tables: Published

    async def assign(self, member: Member) -> None:
        self.hold(member, [CHANGELOG])
        self._find()

    async def move(self) -> None:
        self._publish(self.faults.random.randint(1, POLL_MAX))

    async def drain(self) -> bool:
        moved = False
        while self._publish(POLL_MAX):
            moved = True
        return moved

    def _find(self) -> None:
        """Continue from where the tables are, whatever the group knows."""
        self._stored = {tp: self.tables.progress[tp.partition] for tp in self.position}
        self.position = {tp: one.next_offset for tp, one in self._stored.items()}

    def _publish(self, most: int) -> bool:
        """Of each partition some records; committed when they are published."""
        fetched = {tp: self.read(tp, most) for tp in self.position}
        read = {tp: self._stored[tp].reading(records) for tp, records in fetched.items() if records}
        if not read:
            return False
        steps = [Step(tp.partition, self._stored[tp], after) for tp, (after, _) in read.items()]
        rows = status_rows(self.registry, chain.from_iterable(counting for _, counting in read.values()))
        self.faults.crash_point(self.name, "before publishing")
        if not self.tables.publish(rows, steps):
            self._find()
            return True
        self.faults.crash_point(self.name, "after publishing, before the commit")
        self._stored |= {tp: after for tp, (after, _) in read.items()}
        self.position = {tp: one.next_offset for tp, one in self._stored.items()}
        self.group.commit(self.member, self.position)
        return True
