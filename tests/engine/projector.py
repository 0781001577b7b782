"""The projector's process, and the tables that it publishes to."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from agents.core.registry import Registry
from service.status.rows import RUN_COLUMNS, StatusRows, Values, status_rows
from tables.requests import is_request_log
from tests.engine.broker import LogPartition, Member
from tests.engine.process import Process
from topics.catalog import CHANGELOG

POLL_MAX = 8
PublishedRow = dict[str, object]


@dataclass
class Published:
    """The status tables: a row per run, replaced by a newer one only, by (epoch, seq)."""

    runs: dict[object, PublishedRow] = field(default_factory=dict)
    timeline: set[Values] = field(default_factory=set)

    def publish(self, rows: StatusRows) -> None:
        for values in rows.runs:
            row = dict(zip(RUN_COLUMNS, values, strict=True))
            before = self.runs.get(row["run_id"])
            if before is None or guard(row) > guard(before):
                self.runs[row["run_id"]] = row
        self.timeline.update(rows.timeline)


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

    async def move(self) -> None:
        self._publish(self.faults.random.randint(1, POLL_MAX))

    async def drain(self) -> bool:
        moved = False
        while self._publish(POLL_MAX):
            moved = True
        return moved

    def _publish(self, most: int) -> bool:
        """Of each partition some records; committed when they are published."""
        fetched = [record for tp in self.position for record in self.read(tp, most)]
        if not fetched:
            return False
        values: Sequence[bytes] = [one.value for one in fetched if one.value and not is_request_log(one.key or b"")]
        rows = status_rows(self.registry, values)
        self.faults.crash_point(self.name, "before publishing")
        self.tables.publish(rows)
        self.faults.crash_point(self.name, "after publishing, before the commit")
        reached = {LogPartition(record.topic, record.partition): record.offset + 1 for record in fetched}
        self.position.update(reached)
        self.group.commit(self.member, reached)
        return True
