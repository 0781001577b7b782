import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaTimeoutError

from service.fetcher import consumer
from service.fetcher.consumer import CommandConsumer, Fetched
from tests.support.consumer import Consumer
from tests.unit.service.fetcher.harness import OTHER, TP
from topics.errors import Broken

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
    assert full.kafka.committed_offsets == {TP: 1}


def lost_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage().split(" (")[0] for record in caplog.records if record.levelname == "ERROR"]


@pytest.fixture
def kafka(monkeypatch: pytest.MonkeyPatch) -> Consumer:
    """A consumer with four commands, of which two are committed."""
    kafka = Consumer()
    monkeypatch.setattr(consumer, "group_member", lambda client, group, name: kafka)
    kafka.append(TP, *[b"command"] * 4)
    kafka.committed_offsets[TP] = 2
    return kafka


@pytest.mark.parametrize(("begin", "said"), [(2, []), (4, ["fetch-page/0: records 2 to 3"])])
async def test_commands_that_are_gone_before_an_assignment_are_named_once(
    kafka: Consumer, caplog: pytest.LogCaptureFixture, begin: int, said: list[str]
) -> None:
    kafka.begins[TP] = begin
    commands = CommandConsumer({}, "fetcher-1", ["fetch-page"], revoked)
    await commands.start()
    await kafka.rebalance(TP)
    read = [fetched.record.offset for _ in range(3) for fetched in await commands.poll()]
    assert (lost_in(caplog), read) == (said, list(range(begin, 4)))


async def test_commands_that_are_gone_while_it_reads_are_named(
    kafka: Consumer, caplog: pytest.LogCaptureFixture
) -> None:
    commands = CommandConsumer({}, "fetcher-1", ["fetch-page"], revoked)
    await commands.start()
    await kafka.rebalance(TP)
    await commands.poll()
    kafka.append(TP, *[b"command"] * 6)
    kafka.begins[TP] = 7
    assert [fetched.record.offset for fetched in await commands.poll()] == [7, 8, 9]
    assert lost_in(caplog) == ["fetch-page/0: records 4 to 6"]
    assert vars(caplog.records[-1])["sluice.records_lost"] == 3


async def test_a_fetcher_that_is_set_to_stops_at_a_loss_and_says_how_to_continue(kafka: Consumer) -> None:
    kafka.begins[TP] = 3
    commands = CommandConsumer({}, "fetcher-1", ["fetch-page"], revoked, stops_at_loss=True)
    await commands.start()
    await kafka.rebalance(TP)
    with pytest.raises(Broken, match=r"records 2 to 2 \(1\) left the broker .* SLUICE_LOST_RECORDS=continue"):
        await commands.poll()


async def test_a_broker_that_does_not_say_what_it_has_holds_nobody_up(
    kafka: Consumer, caplog: pytest.LogCaptureFixture
) -> None:
    commands = CommandConsumer({}, "fetcher-1", ["fetch-page"], revoked)
    await commands.start()
    kafka.read_failure = KafkaTimeoutError()
    await kafka.rebalance(TP)
    assert len(await commands.poll()) == 2
    assert "offsets not compared" in caplog.text
