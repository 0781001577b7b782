"""Who does what next, by the seed: work, misfortune, and in the end quiet, in which everything must come right."""

from collections import deque
from collections.abc import Callable
from random import Random

from agents.deciders.entity import EntityDecider
from agents.deciders.sync import SyncDecider
from agents.local import MovableClock
from agents.shell import Shell
from agents.strict.batch import Out
from tables.catalog import read_row
from tables.syncs import SyncState
from tests.simulation.broker import Broker
from tests.simulation.fetcher import Died, Fetcher, ShakySink, ShakySource
from tests.simulation.worker import Protections, Store, Worker
from tests.support.adapters import toy, toy_data
from topics.catalog import CONTROL_TOPICS, DATA_TOPICS
from topics.codec import encode
from topics.commands import StartSync
from topics.ids import sync_key

STORMY_STEPS = 160
QUIET_STEPS_MAX = 3_000
QUIET_WAIT_SECONDS = 130
TRACE_KEPT = 60
TROUBLE = 0.06
SNAPSHOTS_KEPT = 5

Decorate = Callable[[Shell], Shell]


class World:
    """One history. `run` it, then ask `check`."""

    def __init__(
        self, seed: int, protections: Protections | None = None, decorate: Decorate = lambda shell: shell
    ) -> None:
        self.random = Random(seed)
        self.clock = MovableClock()
        self.broker = Broker(self.clock)
        adapters = {"toy": toy()}
        data = toy_data(*(self.random.randint(0, most) for most in (5, 5, 13, 5, 13)))
        self.sink = ShakySink(self.random)
        self.source = ShakySource(data, self.random, self.sink)
        self.fetcher = Fetcher(self.broker, self.source, self.sink, adapters, self.clock)
        self.requests: list[StartSync] = []
        self.trace: deque[str] = deque(maxlen=TRACE_KEPT)
        self._protections = protections or Protections()
        self._shell = decorate(Shell({"main-sync": SyncDecider(adapters), "entity-sync": EntityDecider(adapters)}))
        self._generation = 1
        self._snapshots = [Store()]
        self._zombies: list[Worker] = []
        self.worker = Worker(self.broker, Store(), self._shell, 1, self._protections)

    async def run(self) -> None:
        self._ask()
        self.sink.trouble = self.source.trouble_rate = TROUBLE
        for _ in range(STORMY_STEPS):
            await self._storm()
        self.sink.trouble = self.source.trouble_rate = 0.0
        self._zombies.clear()
        self._restart()
        for _ in range(QUIET_STEPS_MAX):
            if not await self._calm():
                return
        raise AssertionError("the engine did not come to rest")

    def states(self) -> list[SyncState]:
        rows = [read_row(value) for value in self.worker.store.values.values()]
        return [row.state for row in rows if isinstance(row.state, SyncState)]

    async def _storm(self) -> None:
        action, weight = zip(*_ACTIONS, strict=True)
        (chosen,) = self.random.choices(action, weight)
        self.trace.append(chosen)
        await getattr(self, f"_{chosen}")()

    async def _calm(self) -> bool:
        """Work, in turn; with nothing to do, time passes until a deadline does. False: nothing is awaited any more."""
        moved = False
        for topic in CONTROL_TOPICS:
            moved |= self.worker.poll(topic, self.random)
        self.worker.commit(self._generation)
        for topic in DATA_TOPICS:
            while self.broker.committed[topic] < self.broker.end(topic):
                await self.fetcher.work(topic, self.broker.committed[topic])
                self.broker.committed[topic] += 1
                moved = True
        if moved:
            return True
        if all(state.has_ended and not state.queue for state in self.states()) and not self._anything_open():
            return False
        self.clock.advance(QUIET_WAIT_SECONDS)
        self.worker.tick(self.clock.now_ms)
        return True

    def _anything_open(self) -> bool:
        rows = [read_row(value) for value in self.worker.store.values.values()]
        return any(row.state is not None and not row.state.has_ended for row in rows)

    async def _decide(self) -> None:
        self.worker.poll(self.random.choice(CONTROL_TOPICS), self.random)

    async def _deliver(self) -> None:
        self.worker.deliver_some(self.random)

    async def _commit(self) -> None:
        self.worker.commit(self._generation)
        self._snapshots = [*self._snapshots, self.worker.store.copy()][-SNAPSHOTS_KEPT:]

    async def _fetch(self) -> None:
        topic = self.random.choice(DATA_TOPICS)
        if self.broker.committed[topic] >= self.broker.end(topic):
            return
        try:
            await self.fetcher.work(topic, self.broker.committed[topic])
        except Died:
            self.trace.append("the fetcher died")
            return
        if self.random.random() < 0.9:  # else it died before the commit
            self.broker.committed[topic] += 1

    async def _redeliver(self) -> None:
        """A rebalance: some topic goes on from an offset before the one that was reached."""
        topic = self.random.choice(DATA_TOPICS)
        reached = self.broker.committed[topic]
        self.broker.committed[topic] = self.random.randint(max(0, reached - 5), reached)

    async def _pass_time(self) -> None:
        self.clock.advance(self.random.choice((0.001, 1, 10, 130, 700)))
        self.worker.tick(self.clock.now_ms)

    async def _crash(self) -> None:
        self._restart()

    async def _freeze(self) -> None:
        """The process stands still, another takes over, and it wakes up later."""
        self._zombies = [*self._zombies, self.worker][-2:]
        self.worker.store, store = self.worker.store.copy(), self.worker.store
        self._start(store if self.random.random() < 0.5 else Store())

    async def _zombie(self) -> None:
        """It goes on as if nothing had happened: what it had handed over, and maybe another batch."""
        if not self._zombies:
            return
        zombie = self.random.choice(self._zombies)
        zombie.poll(self.random.choice(CONTROL_TOPICS), self.random)
        zombie.deliver_some(self.random)
        if self.random.random() < 0.3:
            zombie.commit(self._generation)

    async def _ask_again(self) -> None:
        self._ask()

    def _ask(self) -> None:
        """A request as a client writes it; sometimes one that was made before."""
        if self.requests and self.random.random() < 0.4:
            request = self.random.choice(self.requests)
        else:
            policy = self.random.choice(("ignore", "queue", "restart", "reject"))
            request = StartSync(
                org=self.random.choice(("acme", "zenith")),
                adapter="toy",
                type="full",
                request_id=f"request-{len(self.requests)}",
                on_conflict=policy,
            )
            self.requests.append(request)
        self.broker.append(request.topic, Out(request.key.encode(), encode(request)))

    def _restart(self) -> None:
        """After a crash: the store as it was left (it may be ahead of the changelog), an older copy, or none."""
        kind = self.random.choice(("kept", "kept", "rolled back", "deleted"))
        self.trace.append(f"store {kind}")
        stores = {
            "kept": self.worker.store,
            "rolled back": self.random.choice(self._snapshots).copy(),
            "deleted": Store(),
        }
        self._start(stores[kind])

    def _start(self, store: Store) -> None:
        self._generation += 1
        self.worker = Worker(self.broker, store, self._shell, self._generation, self._protections)


_ACTIONS = (
    ("decide", 40),
    ("deliver", 20),
    ("commit", 12),
    ("fetch", 40),
    ("redeliver", 4),
    ("pass_time", 8),
    ("crash", 5),
    ("freeze", 2),
    ("zombie", 6),
    ("ask_again", 3),
)

KEYS = tuple(sync_key(org, "toy", "full") for org in ("acme", "zenith"))
