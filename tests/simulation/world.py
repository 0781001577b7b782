"""Who does what next, by the seed: work and faults, and in the end quiet, in which everything must come right."""

from collections import defaultdict
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

from agents.core.processor import Processor
from tables.kinds.sync import SyncState
from tables.logs import KEY as LOGS_KEY
from tables.requests import is_request_log
from tables.row import Row
from tests.counter.decider import RECORD
from tests.counter.kind import WITH_COUNTER
from tests.engine.broker import Broker, Group
from tests.engine.clock import MovableClock
from tests.engine.faults import Faults, spin
from tests.engine.fetcher import Fetcher
from tests.engine.outside import Api, AuditedSink
from tests.engine.projector import Projector, Published
from tests.engine.protections import Protections
from tests.engine.store import Disk, Store
from tests.engine.worker import Worker
from tests.simulation.clients import Clients
from tests.simulation.fleet import Fleet
from tests.simulation.proofs import Proofs
from tests.simulation.surroundings import Surroundings
from tests.simulation.waiting import waiting_in_vain
from topics.actions import Payload, RunAction
from topics.catalog import CHANGELOG, MESSAGE_RETENTION_MS

PARTITIONS = (1, 2, 3)
SPREADS = 0.3  # how often each workflow has a partition of its own, as those of different connections do
FAULTY_STEPS = 450
QUIET_STEPS_MAX = 600
QUIET_WAIT_SECONDS = 130
TROUBLES = (0.0, 0.02, 0.06)
KILLS_ALL = 0.7  # how often everything is killed at once in the end
DEATHS_IN_KILL = 0.3
DEATHS = (0.0, 0.01, 0.05)
SNAPSHOTS_MAX = 5
SKEWS_MS = (0, -3_600_000, -5_000, 5_000, 3_600_000)
RETIREMENT_SECONDS = 9 * 24 * 3_600  # longer than the record of an ended workflow is kept
DRAINS_MAX = 20
SENDS_MEANWHILE = 0.3  # how often an expelled worker sends something while another one takes over
SECONDS = (0.001, 0.3, 1, 1, 10, 130, 700)  # that pass at once; each history has its longest

Action = Callable[[], Awaitable[None]]
AnyFleet = Fleet[Worker] | Fleet[Fetcher] | Fleet[Projector]


class World:
    """One history. `run_with_faults`, then ask `check`."""

    def __init__(self, seed: int, clock: MovableClock, protections: Protections | None = None) -> None:
        random = Random(seed)
        self.faults = Faults(random)
        self.clock = clock
        self.broker = Broker(self.clock, random.choice(PARTITIONS), random.random() < SPREADS)
        protections = protections or Protections()
        self.sink = AuditedSink(protections.run_fence, protections.newest_read)
        self.around = Surroundings(self.sink, self.faults, clock.now)
        self.source, self.adapters = self.around.source, self.around.adapters
        self.api = Api(self.source, self.sink)
        self.proofs = Proofs(self.source, self.sink)
        self.sink.moment, self.sink.on_closed = lambda: self.source.step, self.proofs.judge
        self.published = Published()
        self.clients = Clients(self.broker, WITH_COUNTER, self.adapters, self.faults)
        self.recorded: dict[tuple[str, int], set[object]] = defaultdict(set)  # by the action of a counter's run
        self.broker_was_skewed = False
        self.had_trouble = False
        self.stranded: list[str] = []
        self.begun: dict[str, dict[tuple[int, int], int]] = {}  # by life of a worker: Worker.begun
        self.calm_since = 0
        self._seconds = SECONDS[: random.randint(1, len(SECONDS))]
        self._protections = protections
        self._processor = Processor(WITH_COUNTER, self.adapters)
        self._control = WITH_COUNTER.catalog.control
        self._disks: dict[str, Disk] = {}
        self._snapshots: list[tuple[str, Disk]] = []
        partitions = self.broker.partitions
        self.workers = Fleet("worker", Group(), partitions, self._worker, self.faults)
        self.fetchers = Fleet("fetcher", Group(), partitions, self._fetcher, self.faults)
        self.projectors = Fleet("projector", Group(), partitions, self._projector, self.faults)
        self.fleets: tuple[AnyFleet, ...] = (self.workers, self.fetchers, self.projectors)

    async def run_with_faults(self) -> None:
        """Work and faults; then quiet, until nothing moves and nobody waits."""
        for fleet in self.fleets:
            for _ in range(self.faults.random.randint(1, 2)):
                await fleet.join()
        self.clients.request_one()
        await self._misfortunes_and_work()
        if self.faults.happens(KILLS_ALL):
            self.faults.deaths = DEATHS_IN_KILL
            for fleet in self.fleets:
                await fleet.kill_all()
        self.had_trouble = self.faults.trouble > 0
        self.faults.trouble = self.faults.deaths = 0.0
        self.broker.skew_ms = 0
        for fleet in self.fleets:
            await fleet.calm()
        self.calm_since = self.clock.now_ms
        await self._rest()

    async def sync_all(self) -> None:
        """One more sync of everything, of a source that does not move any more, by the newest manifests."""
        self.source.rest()
        await self.fetchers.kill_all()
        await self.fetchers.calm()
        self.clients.request_all()
        await self._rest()

    async def end(self) -> None:
        """Every process is gone, also where a history did not come to its end."""
        for fleet in self.fleets:
            fleet.end()
        await spin()

    def rows(self) -> dict[tuple[int, bytes], bytes]:
        """The table as it is stored by those who hold its partitions: by partition and key."""
        return {(number, key): value for number, store in self._held() for key, value in store.values.items()}

    def records(self) -> list[Row[Any]]:
        rows = sorted(self.rows().items())
        return [WITH_COUNTER.read_row(value) for (_, key), value in rows if not is_request_log(key) and key != LOGS_KEY]

    def _held(self) -> list[tuple[int, Store]]:
        held = [(name, number) for name, one in self.workers.live.items() for number in one.member.partitions]
        return [(number, self._disks[name][number]) for name, number in held if number in self._disks[name]]

    async def _misfortunes_and_work(self) -> None:
        """Each history has its own mixture: of each misfortune none, some or much."""
        random = self.faults.random
        self.faults.trouble, self.faults.deaths = random.choice(TROUBLES), random.choice(DEATHS)
        work = [(self.workers.move, 130.0), (self.fetchers.move, 130.0), (self.projectors.move, 10.0)]
        bad = [(action, weight * random.choice((0, 0.5, 1, 1, 3))) for action, weight in self._misfortunes()]
        actions, weights = zip(*work, *bad, strict=True)
        for action in random.choices(actions, weights, k=FAULTY_STEPS):
            await action()

    def _misfortunes(self) -> list[tuple[Action, float]]:
        of_fleets: list[tuple[Action, float]] = []
        for fleet in self.fleets:
            of_fleets += [
                (fleet.crash, 4), (fleet.restart, 12), (fleet.expire, 1.5), (fleet.freeze, 1),
                (fleet.move_expelled, 25), (fleet.end_one_expelled, 0.5), (fleet.join, 0.7), (fleet.leave, 0.7),
            ]  # fmt: skip
        return [
            *of_fleets,
            (self._double, 0.5),
            (self._skew, 1),
            (self._pass_time, 14),
            (self._reset, 2),
            (self._take_snapshot, 2),
            (self._compact, 2),
            (self._pass_retirement, 0.1),
            (_now(self.around.move_source), 12),
            (_now(self.around.copy_database), 3),
            (_now(self.around.fail_over), 0.7),
            (_now(self.around.change_manifests), 0.4),
            (_now(self.clients.request_one), 5),
            (_now(self.clients.request_counter), 2.5),
            (_now(self.clients.retry), 0.7),
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
        await self.faults.random.choice(self.fleets).skew(self.faults.random.choice(SKEWS_MS))

    def _skew_broker(self) -> None:
        self.broker.skew_ms = self.faults.random.choice(SKEWS_MS)
        self.broker_was_skewed = True
        self.faults.note("the broker", f"has a clock that is wrong by {self.broker.skew_ms} ms")

    async def _double(self) -> None:
        """Not of a worker: two lives of one name would write records of the same epoch."""
        await self.faults.random.choice((self.fetchers, self.projectors)).double()

    async def _pass_time(self) -> None:
        self.clock.advance(self.faults.random.choice(self._seconds))

    async def _pass_retirement(self) -> None:
        """A week and more without faults. Messages that nobody has handled by then would be gone; so there are none."""
        for _ in range(DRAINS_MAX):
            if not any([await fleet.drain() for fleet in self.fleets]):
                break
        handled = self.workers.group.committed
        if all(handled[tp] == len(log) for tp, log in list(self.broker.logs.items()) if tp.topic in self._control):
            self.clock.advance(RETIREMENT_SECONDS)
            self.workers.end_expelled()  # a producer sends nothing that it has had in hand for so long
            self.faults.note("the world", "rests until ended workflows retire")

    async def _reset(self) -> None:
        """Commits are lost: some partition continues from an offset before the one that was reached."""
        fleet = self.faults.random.choice(self.fleets)
        reached = [(tp, offset) for tp, offset in fleet.group.committed.items() if offset]
        if reached:
            tp, offset = self.faults.random.choice(reached)
            back = self.faults.random.choice((1, 5, offset))
            oldest = 0 if tp.topic == CHANGELOG else self.broker.offset_of(tp, self._oldest_ms)
            fleet.group.committed[tp] = max(min(oldest, offset), offset - self.faults.random.randint(0, back))
            self.faults.note("the group", f"goes back to {tp.topic}/{tp.partition}@{fleet.group.committed[tp]}")

    @property
    def _oldest_ms(self) -> int:
        """The time of the oldest message that Kafka still has."""
        return self.clock.now_ms - MESSAGE_RETENTION_MS

    async def _compact(self) -> None:
        """The journal, as far as it is published, of partitions whose owners have looked at its tail meanwhile."""
        ends = {tp: len(log) for tp, log in self.broker.logs.items() if tp.topic == CHANGELOG}
        await self.workers.each(lambda worker: worker.let_tails_settle())
        held = {number for one in self.workers.live.values() for number in one.member.partitions}
        for tp in [tp for tp in ends if tp.partition in held]:
            gone = self.broker.compact(tp, min(ends[tp], self.projectors.group.committed[tp]))
            self.faults.note("the broker", f"compacts partition {tp.partition}: {gone} records go")

    async def _take_snapshot(self) -> None:
        if self.workers.live:
            name = self.faults.random.choice(list(self.workers.live))
            copy = {number: store.copy() for number, store in self._disks[name].items()}
            self._snapshots = [*self._snapshots, (name, copy)][-SNAPSHOTS_MAX:]

    async def _cancel(self) -> None:
        states = [row.state for row in self.records()]
        self.clients.cancel({one.key: one.run for one in states if isinstance(one, SyncState) and not one.has_ended})

    def _worker(self, life: str, name: str) -> Worker:
        """After a crash each store as it was left (it may be ahead of the changelog), an older copy, or none."""
        left = {number: store.copy() for number, store in self._disks.get(name, {}).items()}
        copies = [copy for whose, copy in self._snapshots if whose == name]
        for number in left:
            kind = self.faults.random.choice(("kept", "kept", "rolled back", "deleted"))
            older = self.faults.random.choice(copies).get(number) if copies and kind == "rolled back" else None
            if kind != "kept":
                left[number] = older.copy() if older else Store()
                self.faults.note(life, f"finds store {number} {'older' if older else 'empty'}")
        self._disks[name] = left
        group, protections = self.workers.group, self._protections
        worker = Worker(life, self.broker, group, self.faults, left, self._processor, protections)
        worker.meanwhile = self._let_expelled_workers_send
        self.begun[life] = worker.begun
        return worker

    def _let_expelled_workers_send(self) -> None:
        for worker in self.workers.expelled:
            if self.faults.happens(SENDS_MEANWHILE):
                worker.send_some()

    def _fetcher(self, life: str, name: str) -> Fetcher:
        group, activities = self.fetchers.group, {RECORD: self._record}
        return Fetcher(life, self.broker, group, self.faults, WITH_COUNTER, self.api, dict(self.adapters), activities)

    async def _record(self, command: RunAction) -> Payload:
        self.recorded[command.workflow, command.run].add(command.input["count"])
        return {}

    def _projector(self, life: str, name: str) -> Projector:
        return Projector(life, self.broker, self.projectors.group, self.faults, WITH_COUNTER, self.published)


def _is_at_rest(state: Any) -> bool:
    return state.has_ended and not (isinstance(state, SyncState) and state.queue)


def _now(do: Callable[[], None]) -> Action:
    async def action() -> None:
        do()

    return action
