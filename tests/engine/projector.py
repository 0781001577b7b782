"""The projector's process, and the tables that it publishes to."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from agents.core.registry import Registry
from service.status.rows import RUN_COLUMNS, StatusRows, Values, status_rows
from tables.requests import is_request_log
from tests.engine.broker import Broker, Group, LogPartition, Member
from tests.engine.clock import SkewedClock
from tests.engine.faults import Faults
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


class Projector:
    """One life of a process."""

    def __init__(
        self, name: str, broker: Broker, group: Group, registry: Registry, tables: Published, faults: Faults
    ) -> None:
        self.name = name
        self.clock = SkewedClock(broker.clock)
        self._broker = broker
        self._group = group
        self._registry = registry
        self._tables = tables
        self._faults = faults
        self._member = Member("", 0, 0, ())
        self._position: dict[LogPartition, int] = {}

    async def assign(self, member: Member) -> None:
        self._member = member
        tps = [LogPartition(CHANGELOG, partition) for partition in member.partitions]
        self._position = {tp: self._group.committed[tp] for tp in tps}

    async def revoke(self) -> None:
        self._position.clear()

    async def move(self) -> None:
        self._publish(self._faults.random.randint(1, POLL_MAX))

    async def drain(self) -> bool:
        moved = False
        while self._publish(POLL_MAX):
            moved = True
        return moved

    def die(self) -> None: ...

    def _publish(self, most: int) -> bool:
        """Of each partition some records; committed when they are published."""
        fetched = [record for tp, offset in self._position.items() for record in self._broker.read(tp, offset, most)]
        if not fetched:
            return False
        values: Sequence[bytes] = [one.value for one in fetched if one.value and not is_request_log(one.key or b"")]
        rows = status_rows(self._registry, values)
        self._faults.crash_point(self.name, "before publishing")
        self._tables.publish(rows)
        self._faults.crash_point(self.name, "after publishing, before the commit")
        reached = {LogPartition(record.topic, record.partition): record.offset + 1 for record in fetched}
        self._position.update(reached)
        self._group.commit(self._member, reached)
        return True
