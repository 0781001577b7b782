import pytest
from aiokafka import TopicPartition

from service.fetcher import consumer
from service.fetcher.consumer import CommandConsumer, Fetched
from tests.support.consumer import Consumer
from tests.unit.service.fetcher.harness import OTHER, TP

UNFINISHED_MAX = 1_000
HALF = UNFINISHED_MAX // 2


async def revoked(lost: set[TopicPartition]) -> None: ...


class Full:
    """A consumer with the maximum of unfinished commands of one partition; more wait there, and one in another."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.kafka = Consumer()
        monkeypatch.setattr(consumer, "group_member", lambda client, group, name: self.kafka)
        monkeypatch.setattr(consumer, "UNFINISHED_PER_PARTITION_MAX", UNFINISHED_MAX)
        self.commands = CommandConsumer({}, "fetcher-1", ["fetch-page"], revoked)
        self.unfinished: list[Fetched] = []

    async def start(self) -> None:
        await self.commands.start()
        self.kafka.append(TP, *[b"command"] * (UNFINISHED_MAX + HALF))
        self.kafka.append(OTHER, b"command")
        while len(self.unfinished) < UNFINISHED_MAX:
            assert self.kafka.paused() == set()
            self.unfinished += await self.commands.poll()

    async def poll(self) -> list[TopicPartition]:
        return [fetched.tp for fetched in await self.commands.poll()]


@pytest.fixture
async def full(monkeypatch: pytest.MonkeyPatch) -> Full:
    made = Full(monkeypatch)
    await made.start()
    return made


async def test_a_partition_with_the_maximum_of_commands_is_paused_and_the_others_are_read(full: Full) -> None:
    assert full.kafka.paused() == {TP}
    assert await full.commands.unread() == 1  # records of a paused partition are no reason to end the process
    assert await full.poll() == [OTHER]
    assert await full.poll() == []


async def test_a_paused_partition_is_resumed_when_half_of_its_commands_are_done(full: Full) -> None:
    for fetched in full.unfinished[1:HALF]:  # without the first one: none of these may be committed
        fetched.done()
    await full.poll()
    assert full.kafka.paused() == {TP}
    full.unfinished[HALF].done()
    await full.poll()
    assert full.kafka.paused() == set()
    assert await full.poll() == [TP] * HALF


async def test_a_paused_partition_that_was_revoked_is_read_when_it_comes_back_and_is_paused_again(full: Full) -> None:
    await full.kafka.rebalance(TP)
    full.unfinished[0].done()  # of the former assignment
    assert not full.commands.holds(full.unfinished[0])
    assert (await full.poll())[0] == TP
    assert full.commands.uncommitted == 0
    await full.poll()
    assert full.kafka.paused() == {TP}


async def test_a_partition_whose_first_command_takes_long_is_paused_at_a_bound_of_uncommitted_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(consumer, "UNCOMMITTED_PER_PARTITION_MAX", 3)
    full = Full(monkeypatch)
    await full.commands.start()
    full.kafka.append(TP, *[b"command"] * 3)
    first, *others = await full.commands.poll()
    for fetched in others:
        fetched.done()
    assert full.kafka.paused() == {TP}
    first.done()
    await full.poll()
    assert full.kafka.paused() == set()


async def test_what_was_read_of_a_partition_is_not_held_while_its_revocation_is_under_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    full = Full(monkeypatch)
    held: list[bool] = []
    late: list[Fetched] = []

    async def on_revoked(lost: set[TopicPartition]) -> None:
        held.extend(map(full.commands.holds, full.unfinished))
        full.kafka.append(TP, b"command")
        late.extend(await full.commands.poll())

    full.commands = CommandConsumer({}, "fetcher-1", ["fetch-page"], on_revoked)
    await full.commands.start()
    full.kafka.append(TP, b"command", b"command")
    full.unfinished = await full.commands.poll()
    full.unfinished[0].done()
    await full.kafka.rebalance(TP)
    assert (held, [full.commands.holds(fetched) for fetched in late]) == ([False, False], [False])
    assert full.kafka.committed == {TP: 1}
