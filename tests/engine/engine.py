"""The local engine on a toy adapter, with the questions that tests ask it."""

from collections import Counter
from collections.abc import Callable

from agents.core.context import HANDED_MAX
from agents.core.processor import Processor
from agents.deciders.entity import EntityDecider
from agents.deciders.sync import SyncDecider
from manifests.entity import Adapter
from tables.kinds.entity import EntityState
from tables.kinds.sync import SyncState
from tests.engine.local import LocalEngine, MovableClock
from tests.support.adapters import toy, toy_data
from tests.support.memory import ListSource, MemorySink
from topics.commands import StartSync
from topics.ids import entity_key, sync_key

KEY = sync_key("acme", "toy", "full")


class Engine(LocalEngine):
    """An engine of its own for each test. `source` and `sink` can be looked at."""

    def __init__(
        self,
        data: dict[str, list[str]] | None = None,
        adapter: Adapter | None = None,
        may_crash: Callable[[str], None] = lambda instant: None,
        deliveries: int = 1,
        handed_max: int = HANDED_MAX,
    ) -> None:
        known = {"toy": adapter or toy()}
        self.source = ListSource(toy_data() if data is None else data)
        self.sink = MemorySink()
        shell = Processor({"main-sync": SyncDecider(known), "entity-sync": EntityDecider(known)})
        super().__init__(
            shell,
            known,
            self.source,
            self.sink,
            clock=MovableClock(),
            may_crash=may_crash,
            deliveries=deliveries,
            handed_max=handed_max,
        )

    def start(self, request_id: str | None = None, org: str = "acme", **more: str) -> None:
        self.tell(
            StartSync.model_validate({"org": org, "adapter": "toy", "type": "full", "request_id": request_id, **more})
        )

    def sync(self, key: str = KEY) -> SyncState:
        row = self.row(key)
        assert row is not None
        assert isinstance(row.state, SyncState)
        return row.state

    def entity(self, name: str) -> EntityState:
        row = self.row(entity_key("acme", "toy", name, "full"))
        assert row is not None
        assert isinstance(row.state, EntityState)
        return row.state

    def keys(self, name: str) -> list[str]:
        """The stored keys of an entity, in order."""
        return sorted(key for _, key in self.sink.rows.get(name, {}))

    def expected(self, name: str) -> list[str]:
        own = self.source.data.get(name, [])
        below = [key for place, keys in self.source.data.items() if place.startswith(f"{name}/") for key in keys]
        return sorted(own + below)

    def served_twice(self) -> dict[tuple[str, str, int], int]:
        return {page: times for page, times in Counter(self.source.served).items() if times > 1}
