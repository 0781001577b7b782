"""Who does what next, by the seed: work, misfortune, and in the end quiet, in which everything must come right."""

from collections.abc import Awaitable, Callable, Sequence
from random import Random

from agents.core.processor import Processor
from agents.deciders.entity import EntityDecider
from agents.deciders.sync import SyncDecider
from manifests.entity import Adapter
from tables.catalog import State, read_row
from tables.kinds.entity import EntityState
from tables.kinds.sync import SyncState
from tables.row import Row
from tests.engine.local import MovableClock
from tests.simulation.broker import Broker, Group
from tests.simulation.clients import Clients
from tests.simulation.fate import Fate, settle
from tests.simulation.fetcher import Fetcher
from tests.simulation.fleet import Fleet
from tests.simulation.outside import Api, AuditedSink
from tests.simulation.projector import Projector, Published
from tests.simulation.worker import Disk, Protections, Store, Worker
from tests.support.adapters import adapter, entity, toy, toy_data
from tests.support.memory import ListSource

PARTITIONS = (1, 2, 3)
HANDED_MAX = (0, 1, 3, 1_000)  # commands that a batch hands over; the rest goes by the broker
STORMY_STEPS = 450
QUIET_STEPS_MAX = 600
QUIET_WAIT_SECONDS = 130
TROUBLES = (0.0, 0.02, 0.06)
STRIKES = 0.7  # how often everything is killed at once in the end
DEATHS_IN_STRIKE = 0.3
DEATHS = (0.0, 0.01, 0.05)
SNAPSHOTS_MAX = 5
SKEWS_MS = (0, -3_600_000, -5_000, 5_000, 3_600_000)
SECONDS = (0.001, 0.3, 1, 1, 10, 130, 700)  # that pass at once; each history has its longest

Action = Callable[[], Awaitable[None]]
AnyFleet = Fleet[Worker] | Fleet[Fetcher] | Fleet[Projector]


def minor() -> Adapter:
    """A second adapter: one list, and one below it."""
    return adapter(
        entity("b.part"),
        entity("b.piece", path="/b/parts/{id}/pieces", under={"entity": "b.part", "column": "part_id"}),
        name="minor",
    )


class World:
    """One history. `run` it, then ask `check`."""

    def __init__(self, seed: int, clock: MovableClock, protections: Protections | None = None) -> None:
        random = Random(seed)
        self.fate = Fate(random)
        self.clock = clock
        self.broker = Broker(self.clock, random.choice(PARTITIONS))
        self.adapters = {"toy": toy(), "minor": minor()}
        self.sink = AuditedSink((protections or Protections()).run_fence)
        self.api = Api(ListSource(self._data()), self.sink)
        self.published = Published()
        self.clients = Clients(self.broker, self.adapters, self.fate)
        self.moved = False
        self.had_trouble = False
        self.stranded: list[str] = []
        self.calm_since = 0
        self._seconds = SECONDS[: random.randint(1, len(SECONDS))]
        self._protections = protections or Protections()
        self._handed_max = random.choice(HANDED_MAX)
        self._shell = Processor({"main-sync": SyncDecider(self.adapters), "entity-sync": EntityDecider(self.adapters)})
        self._disks: dict[str, Disk] = {}
        self._snapshots: list[tuple[str, Disk]] = []
        partitions = self.broker.partitions
        self.workers = Fleet("worker", Group(), partitions, self._worker, self.fate)
        self.fetchers = Fleet("fetcher", Group(), partitions, self._fetcher, self.fate)
        self.projectors = Fleet("projector", Group(), partitions, self._projector, self.fate)
        self.fleets: tuple[AnyFleet, ...] = (self.workers, self.fetchers, self.projectors)

    async def storm(self) -> None:
        """Work and misfortune; then quiet, until nothing moves and nobody waits."""
        for fleet in self.fleets:
            for _ in range(self.fate.random.randint(1, 2)):
                await fleet.join()
        self.clients.ask()
        await self._weather()
        if self.fate.happens(STRIKES):
            self.fate.deaths = DEATHS_IN_STRIKE
            for fleet in self.fleets:
                await fleet.strike()
        self.had_trouble = self.fate.trouble > 0
        self.fate.trouble = self.fate.deaths = 0.0
        self.broker.skew_ms = 0
        for fleet in self.fleets:
            await fleet.calm()
        self.calm_since = self.clock.now_ms
        await self._rest()

    async def sync_all(self) -> None:
        """One more sync of everything, of a source that does not move any more."""
        self.clients.ask_for_all()
        await self._rest()

    async def end(self) -> None:
        """Every process is gone, also where a history did not come to its end."""
        for fleet in self.fleets:
            fleet.end()
        await settle()

    def rows(self) -> dict[bytes, bytes]:
        """The table as it is stored by those who hold its partitions."""
        return {key: value for store in self._held() for key, value in store.values.items()}

    def records(self) -> list[Row[State]]:
        return [read_row(value) for _, value in sorted(self.rows().items())]

    def _held(self) -> list[Store]:
        live = self.workers.live.items()
        return [self._disks[name][number] for name, one in live for number in one.held if number in self._disks[name]]

    async def _weather(self) -> None:
        """Each history has its own weather: of each misfortune none, some or much."""
        random = self.fate.random
        self.fate.trouble, self.fate.deaths = random.choice(TROUBLES), random.choice(DEATHS)
        work = [(self.workers.move, 130.0), (self.fetchers.move, 130.0), (self.projectors.move, 10.0)]
        bad = [(action, weight * random.choice((0, 0.5, 1, 1, 3))) for action, weight in self._misfortunes()]
        actions, weights = zip(*work, *bad, strict=True)
        for action in random.choices(actions, weights, k=STORMY_STEPS):
            await action()

    def _misfortunes(self) -> list[tuple[Action, float]]:
        of_fleets: list[tuple[Action, float]] = []
        for fleet in self.fleets:
            of_fleets += [
                (fleet.crash, 4), (fleet.restart, 12), (fleet.expire, 1.5), (fleet.freeze, 1), (fleet.haunt, 25),
                (fleet.wake, 0.5), (fleet.join, 0.7), (fleet.leave, 0.7),
            ]  # fmt: skip
        return [
            *of_fleets,
            (self._double, 0.5),
            (self._skew, 1),
            (self._pass_time, 14),
            (self._reset, 2),
            (self._take_snapshot, 2),
            (self._move_pages, 1),
            (_now(self.clients.ask), 5),
            (_now(self.clients.nudge), 0.7),
            (_now(self.clients.poison_one), 1.5),
            (_now(self.clients.echo), 3),
            (self._cancel, 0.5),
            (_now(self._skew_broker), 0.5),
        ]

    async def _rest(self) -> None:
        for _ in range(QUIET_STEPS_MAX):
            moved = False
            for fleet in self.fleets:
                moved |= await fleet.drain()
            if moved:
                continue
            states = [row.state for row in self.records() if row.state is not None]
            if all(_is_at_rest(state) for state in states):
                return
            self.stranded += waiting_in_vain(states, self.had_trouble)
            self.clock.advance(QUIET_WAIT_SECONDS)
        raise AssertionError(f"the engine did not come to rest within {QUIET_STEPS_MAX} steps")

    async def _skew(self) -> None:
        await self.fate.random.choice(self.fleets).skew(self.fate.random.choice(SKEWS_MS))

    def _skew_broker(self) -> None:
        self.broker.skew_ms = self.fate.random.choice(SKEWS_MS)
        self.fate.note("the broker", f"has a clock that is wrong by {self.broker.skew_ms} ms")

    async def _double(self) -> None:
        """Not of a worker: two lives of one name would write records of the same generation."""
        await self.fate.random.choice((self.fetchers, self.projectors)).double()

    async def _pass_time(self) -> None:
        self.clock.advance(self.fate.random.choice(self._seconds))

    async def _reset(self) -> None:
        """Commits are lost: some partition goes on from an offset before the one that was reached."""
        fleet = self.fate.random.choice(self.fleets)
        reached = [(tp, offset) for tp, offset in fleet.group.committed.items() if offset]
        if reached:
            tp, offset = self.fate.random.choice(reached)
            back = self.fate.random.choice((1, 5, offset))
            fleet.group.committed[tp] = max(0, offset - self.fate.random.randint(0, back))
            self.fate.note("the group", f"goes back to {tp.topic}/{tp.partition}@{fleet.group.committed[tp]}")

    async def _take_snapshot(self) -> None:
        if self.workers.live:
            name = self.fate.random.choice(list(self.workers.live))
            copy = {number: store.copy() for number, store in self._disks[name].items()}
            self._snapshots = [*self._snapshots, (name, copy)][-SNAPSHOTS_MAX:]

    async def _move_pages(self) -> None:
        """The source changes under way: records come at the front, and go."""
        self.moved = True
        lists = [keys for name, keys in sorted(self.api.lists.data.items()) if name not in ("a.house", "b.part")]
        keys = self.fate.random.choice(lists)
        if keys and self.fate.random.random() < 0.5:
            keys.pop(self.fate.random.randrange(len(keys)))
        else:
            keys.insert(0, f"new-{self.fate.random.randrange(10**6)}")

    async def _cancel(self) -> None:
        states = [row.state for row in self.records()]
        self.clients.cancel({one.key: one.run for one in states if isinstance(one, SyncState) and not one.has_ended})

    def _worker(self, life: str, name: str) -> Worker:
        """After a crash each store as it was left (it may be ahead of the changelog), an older copy, or none."""
        left = {number: store.copy() for number, store in self._disks.get(name, {}).items()}
        copies = [copy for whose, copy in self._snapshots if whose == name]
        for number in left:
            kind = self.fate.random.choice(("kept", "kept", "rolled back", "deleted"))
            older = self.fate.random.choice(copies).get(number) if copies and kind == "rolled back" else None
            if kind != "kept":
                left[number] = older.copy() if older else Store()
                self.fate.note(life, f"finds store {number} {'older' if older else 'empty'}")
        self._disks[name] = left
        group, protections = self.workers.group, self._protections
        return Worker(life, self.broker, group, left, self._shell, self.fate, protections, self._handed_max)

    def _fetcher(self, life: str, name: str) -> Fetcher:
        return Fetcher(life, self.broker, self.fetchers.group, self.sink, self.api, self.adapters, self.fate)

    def _projector(self, life: str, name: str) -> Projector:
        return Projector(life, self.broker, self.projectors.group, self.published, self.fate)

    def _data(self) -> dict[str, list[str]]:
        random = self.fate.random
        data = toy_data(*(random.randint(0, most) for most in (5, 5, 13, 5, 13)))
        data["b.part"] = [f"part{n:02}" for n in range(random.randint(0, 6))]
        for part in data["b.part"]:
            data[f"b.piece/{part}"] = [f"{part}-{n}" for n in range(random.randint(0, 9))]
        return data


def _is_at_rest(state: State) -> bool:
    return state.has_ended and not (isinstance(state, SyncState) and state.queue)


def waiting_in_vain(states: Sequence[State], had_trouble: bool) -> list[str]:
    """With nothing on its way: who waits for something that nobody is about to tell, but for a deadline.

    A lease that waits for the API to come back is no such thing, nor is the end of a run that a database refused, nor
    an entity that a frozen worker has begun for a run that its main sync has left: nobody waits for it, and its
    deadline brings it to its end.
    """
    entities = {state.key: state for state in states if isinstance(state, EntityState)}
    runs = {state.key: state.run for state in states if isinstance(state, SyncState)}
    found = []
    for state in entities.values():
        if runs.get(state.parent) != state.parent_run:
            continue
        leases_out = [lease.number for lease in state.leases if not lease.resume_at]
        if leases_out or (state.status == "finishing" and not had_trouble):
            found.append(f"{state.run_id} is {state.status}, leases {leases_out}, and nobody works on it")
    for sync in states:
        if isinstance(sync, SyncState):
            running = [name for name, child in sync.children.items() if child.status == "running"]
            for name in running:
                child = entities.get(sync.child_key(name))
                if child is None or child.parent_run != sync.run or child.has_ended:
                    found.append(f"{sync.run_id} waits for {name}, which was not asked or has told")
    return found


def _now(do: Callable[[], None]) -> Action:
    async def action() -> None:
        do()

    return action
