"""Takeover of a partition: its new owner knows all that counts, whatever others send meanwhile and left on its disk."""

from collections.abc import Callable
from random import Random

from agents.core.batch import Out
from agents.core.processor import Processor
from agents.kinds import SHIPPED
from tables.logs import KEY as LOGS_KEY
from tables.logs import under
from tables.row import next_epoch
from tests.engine.broker import Broker, Group, LogPartition
from tests.engine.clock import MovableClock
from tests.engine.faults import Faults
from tests.engine.protections import Protections
from tests.engine.store import Store
from tests.engine.worker import Worker
from tests.support.adapters import toy
from topics.catalog import CHANGELOG
from topics.codec import encode
from topics.kinds import sync
from topics.kinds.sync import StartSync

KEY = sync.KEY.key("acme", "toy", "full").encode()
STARTS, JOURNAL = LogPartition("start-sync", 0), LogPartition(CHANGELOG, 0)


class Lives:
    """Lives of workers over one partition, all within the same millisecond."""

    def __init__(self) -> None:
        self.broker = Broker(MovableClock(), 1)
        self.group = Group()
        self._count = 0

    async def start(self, store: Store, name: str = "one", meanwhile: Callable[[], None] = lambda: None) -> Worker:
        """It finds this store; a name that is not known expels the other one."""
        self._count += 1
        life, processor = f"{name}#{self._count}", Processor(SHIPPED, {"toy": toy(is_ordered=True)})
        disk, faults = {0: store.copy()}, Faults(Random(0))
        worker = Worker(life, self.broker, self.group, faults, disk, processor, Protections(), 1, meanwhile)
        is_known = name in self.group.names
        await worker.assign(self.group.rejoin(name) if is_known else self.group.rebalance({name: [0]})[name])
        return worker

    def request(self) -> None:
        command = StartSync(org="acme", adapter="toy", type="full", request_id="r")
        self.broker.append(STARTS, Out(command.key.encode(), encode(command)))

    def last(self, key: bytes) -> bytes | None:
        """What compaction would leave of the key."""
        return {one.key: one.value for one in self.broker.logs[JOURNAL]}[key]


async def decided_and_not_sent(lives: Lives) -> Worker:
    """A worker that has decided on a request, with all that follows from it in its buffer."""
    worker = await lives.start(Store(), "cut-off")
    lives.request()
    worker.poll([STARTS])
    return worker


async def test_a_copy_of_a_store_whose_process_left_nothing_in_the_journal_takes_nothing_out_of_it() -> None:
    lives = Lives()
    store = (await lives.start(Store())).disk[0]
    for _ in range(3):  # each has an epoch of its own, and nothing to decide
        store = (await lives.start(store)).disk[0]
    lives.request()
    await (await lives.start(Store())).drain()
    last = await lives.start(store)
    known = last.disk[0].read(0, KEY)
    await last.let_tails_settle()
    assert known is not None
    assert lives.last(KEY) == known


async def test_what_an_expelled_process_sends_between_restore_and_takeover_is_known_to_its_successor() -> None:
    lives = Lives()
    expelled = await decided_and_not_sent(lives)
    successor = await lives.start(Store(), "successor", expelled.send_all)
    known = successor.disk[0].read(0, KEY)
    assert known is not None
    assert known == lives.last(KEY)
    await successor.let_tails_settle()
    assert known == lives.last(KEY)


async def test_what_an_expelled_process_sends_behind_the_takeover_counts_for_nobody() -> None:
    lives = Lives()
    expelled = await decided_and_not_sent(lives)
    successor = await lives.start(Store(), "successor")
    expelled.send_all()
    assert lives.last(KEY) is not None
    await successor.let_tails_settle()
    assert (successor.disk[0].read(0, KEY), lives.last(KEY)) == (None, None)


async def test_an_epoch_that_another_process_has_begun_meanwhile_is_not_taken() -> None:
    lives = Lives()
    epoch = next_epoch(1, lives.broker.clock.now_ms, 0)
    begun = [under(None, epoch), under(None, epoch + 1)]

    def begin_another() -> None:
        if begun:
            lives.broker.append(JOURNAL, Out(LOGS_KEY, begun.pop(0)))

    worker = await lives.start(Store(), meanwhile=begin_another)
    assert list(worker.begun) == [(0, epoch + 2)]
