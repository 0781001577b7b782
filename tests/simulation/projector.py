"""The projector's process, and the tables that it publishes to."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from service.status.rows import ENTITY_COLUMNS, SYNC_COLUMNS, StatusRows, Values, status_rows
from tables.catalog import read_row
from tests.engine.local import LocalTP
from tests.simulation.broker import Broker, Group, Member
from tests.simulation.fate import Fate, WrongClock
from topics.catalog import CHANGELOG

POLL_MAX = 8


@dataclass
class Published:
    """The status tables: a row per run, replaced by a newer one only, by (generation, seq)."""

    syncs: dict[object, dict[str, object]] = field(default_factory=dict)
    entities: dict[object, dict[str, object]] = field(default_factory=dict)
    timeline: set[Values] = field(default_factory=set)

    def publish(self, rows: StatusRows) -> None:
        _upsert(self.syncs, SYNC_COLUMNS, rows.syncs)
        _upsert(self.entities, ENTITY_COLUMNS, rows.entities)
        self.timeline.update(rows.timeline)

    def row(self, run: str) -> dict[str, object] | None:
        return self.syncs.get(run) or self.entities.get(run)


def _upsert(table: dict[object, dict[str, object]], columns: Sequence[str], rows: Sequence[Values]) -> None:
    for values in rows:
        row = dict(zip(columns, values, strict=True))
        before = table.get(row["run_id"])
        if before is None or guard(row) > guard(before):
            table[row["run_id"]] = row


def guard(row: dict[str, object]) -> tuple[int, int]:
    generation, seq = row["generation"], row["seq"]
    assert isinstance(generation, int)
    assert isinstance(seq, int)
    return generation, seq


class Projector:
    """One life of a process."""

    def __init__(self, name: str, broker: Broker, group: Group, tables: Published, fate: Fate) -> None:
        self.name = name
        self.clock = WrongClock(broker.clock)
        self._broker = broker
        self._group = group
        self._tables = tables
        self._fate = fate
        self._member = Member("", 0, 0, ())
        self._position: dict[LocalTP, int] = {}

    async def assign(self, member: Member) -> None:
        self._member = member
        tps = [LocalTP(CHANGELOG, partition) for partition in member.partitions]
        self._position = {tp: self._group.committed[tp] for tp in tps}

    async def revoke(self) -> None:
        self._position.clear()

    async def move(self) -> None:
        self._publish(self._fate.random.randint(1, POLL_MAX))

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
        rows = status_rows(read_row(record.value) for record in fetched if record.value is not None)
        self._fate.instant(self.name, "before publishing")
        self._tables.publish(rows)
        self._fate.instant(self.name, "after publishing, before the commit")
        reached = {LocalTP(record.topic, record.partition): record.offset + 1 for record in fetched}
        self._position.update(reached)
        self._group.commit(self._member, reached)
        return True
