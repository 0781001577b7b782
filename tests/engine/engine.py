"""The engine on a toy adapter: one process of each role, no faults but those that a test asks for."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Self

from agents.activities.actions import Activity
from agents.core.batch import Out
from agents.core.processor import Processor
from agents.core.registry import Registry
from agents.kinds import SHIPPED
from manifests.entity import Adapter
from tables.kinds.entity import EntityState
from tables.kinds.sync import SyncState
from tables.logs import KEY as LOGS_KEY
from tables.row import Row
from tests.engine.broker import Broker, Group, LogPartition, LogRecord
from tests.engine.clock import MovableClock
from tests.engine.faults import CrashPoints, Died
from tests.engine.fetcher import Fetcher
from tests.engine.outside import Api, AuditedSink
from tests.engine.projector import Projector, Published
from tests.engine.protections import Protections
from tests.engine.worker import Worker
from tests.support.adapters import toy, toy_data
from tests.support.memory import ListSource
from topics.catalog import DEAD_LETTERS
from topics.codec import encode
from topics.command import Command
from topics.dead_letters import DeadLetter, from_record
from topics.kinds import entity, sync
from topics.kinds.sync import StartSync

KEY = sync.KEY.key("acme", "toy", "full")
ENTITIES = tuple(toy().entities)
ROUNDS_MAX = 10_000  # rounds without coming to rest: something never ends
PARTITIONS = 1
SPREAD_PARTITIONS = 33  # no two workflows of the toy share one


class Engine:
    """`send` it commands, `await settle()` until nothing moves, `advance` its clock.

    `may_crash` is called with the name of each crash point and raises Died to make a process die there; it then
    restarts by itself, with an empty disk. `deliveries` is how often each batch and each activity's command is
    delivered. With `spreads_workflows` each workflow has a partition of its own, so that all commands take the broker.
    """

    def __init__(
        self,
        data: dict[str, list[str]] | None = None,
        adapter: Adapter | None = None,
        may_crash: Callable[[str], None] = lambda where: None,
        deliveries: int = 1,
        spreads_workflows: bool = False,
        registry: Registry = SHIPPED,
        activities: Mapping[str, Activity] | None = None,
        partitions: int = PARTITIONS,
    ) -> None:
        self.clock = MovableClock()
        self.registry = registry
        self.broker = Broker(self.clock, SPREAD_PARTITIONS if spreads_workflows else partitions, spreads_workflows)
        self.source = ListSource(toy_data() if data is None else data)
        self.sink = AuditedSink()
        self.published = Published()
        self.crashes = 0
        self.may_crash = may_crash
        self._faults = CrashPoints(lambda where: self.may_crash(where))
        self._deliveries = deliveries
        self._activities = activities
        self._adapters = {"toy": adapter or toy(is_ordered=True)}
        self._processor = Processor(registry, self._adapters)
        self.api = Api(self.source, self.sink)
        self.groups = {role: Group() for role in ("worker", "fetcher", "projector")}
        self._lives = 0
        self._is_started = False

    def send(self, command: Command) -> None:
        """Produce a command as any client would."""
        self.send_raw(command.topic, encode(command), command.key.encode(), self.broker.partition_of(command.key))

    def send_raw(self, topic: str, value: bytes | None, key: bytes | None = None, partition: int = 0) -> None:
        self.broker.append(LogPartition(topic, partition), Out(key, value))

    async def settle(self) -> None:
        """Until everything is handled to its end; timers that are due count."""
        if not self._is_started:
            await self.restart()
        for _ in range(ROUNDS_MAX):
            try:
                moved = [await process.drain() for process in (self.worker, self.fetcher, self.projector)]
            except Died:
                self.crashes += 1
                await self.restart()
                continue
            if not any(moved):
                return
        raise AssertionError(f"the engine did not come to rest within {ROUNDS_MAX} rounds")

    async def advance(self, seconds: float) -> None:
        """Move the clock and let everything that is due then happen."""
        self.clock.advance(seconds)
        await self.settle()

    async def restart(self) -> None:
        """Fresh processes: the table from the changelog, the timers from the table."""
        while True:
            if self._is_started:
                for process in (self.worker, self.fetcher, self.projector):
                    process.die()
            self._is_started = True
            self._lives += 1
            try:
                await self._begin()
                return
            except Died:
                self.crashes += 1

    async def _begin(self) -> None:
        name, partitions = f"#{self._lives}", range(self.broker.partitions)
        lives = {role: (name, self.broker, group, self._faults) for role, group in self.groups.items()}
        self.worker = Worker(*lives["worker"], {}, self._processor, Protections(), self._deliveries)
        self.fetcher = Fetcher(
            *lives["fetcher"], self.registry, self.api, self._adapters, self._activities, self._deliveries
        )
        self.projector = Projector(*lives["projector"], self.registry, self.published)
        for process in (self.worker, self.fetcher, self.projector):
            await process.assign(process.group.rebalance({name: partitions})[name])

    def log(self, topic: str) -> list[LogRecord]:
        """Everything that was written to a topic."""
        return self.broker.topic(topic)

    def row(self, key: str) -> Row[Any] | None:
        value = self.worker.disk[self.broker.partition_of(key)].read(0, key.encode())
        return None if value is None else self.registry.read_row(value)

    def stored(self) -> dict[bytes, bytes]:
        """Records of workflows and their request logs."""
        stored = {key: value for store in self.worker.disk.values() for key, value in store.values.items()}
        return {key: value for key, value in stored.items() if key != LOGS_KEY}

    def dead_letters(self) -> list[DeadLetter]:
        return [from_record(one.key, one.value, one.headers) for one in self.log(DEAD_LETTERS)]

    def start(self, request_id: str | None = None, org: str = "acme", **more: str) -> None:
        self.send(
            StartSync.model_validate({"org": org, "adapter": "toy", "type": "full", "request_id": request_id, **more})
        )

    async def run(self, request_id: str | None = None, **more: str) -> Self:
        """A start, and all that follows."""
        self.start(request_id, **more)
        await self.settle()
        return self

    def sync(self, key: str = KEY) -> SyncState:
        row = self.row(key)
        assert row is not None
        assert isinstance(row.state, SyncState)
        return row.state

    def entity(self, name: str) -> EntityState:
        row = self.row(entity.KEY.key("acme", "toy", name, "full"))
        assert row is not None
        assert isinstance(row.state, EntityState)
        return row.state

    def keys(self, name: str) -> list[str]:
        """The stored keys of an entity, in order."""
        return sorted(key for _, key in self.sink.rows.get(name, {}))

    def stored_keys(self) -> dict[str, list[str]]:
        return {name: self.keys(name) for name in ENTITIES}

    def expected_keys(self) -> dict[str, list[str]]:
        """Those that the source has, of each entity."""
        data = self.source.data.items()
        return {
            name: sorted(key for place, keys in data if place.split("/")[0] == name for key in keys)
            for name in ENTITIES
        }

    def served_twice(self) -> dict[tuple[str, str, int], int]:
        return {page: times for page, times in Counter(self.source.served).items() if times > 1}
