import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any
from unittest.mock import AsyncMock

import pytest
from aiokafka.errors import KafkaConnectionError

from agents import concurrency, watchdog
from agents.kinds import SHIPPED
from service.fetcher import consumer
from service.fetcher.consumer import POLL_RECORDS_MAX
from tests.unit.service.fetcher.harness import OTHER, TP, FetcherBench, lease, leases, result, turns, until
from topics.codec import encode, headers, trace_in, trace_of
from topics.command import Command
from topics.dead_letters import from_record
from topics.errors import Broken, Rejected
from topics.kinds.entity import FetchPages


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> FetcherBench:
    return FetcherBench(monkeypatch)


def raising(error: BaseException) -> Callable[[FetchPages], Command]:
    def answer(command: FetchPages) -> Command:
        raise error

    return answer


async def test_a_result_is_reported_to_its_workflow_with_the_trace_of_its_command(bench: FetcherBench) -> None:
    bench.may_end.set()
    async with bench.running():
        await bench.deliver(lease(1), headers=headers(lease(1), trace_of("run"), "worker-1"))
        await bench.until_committed(1)
    assert bench.consumer.topics == list(SHIPPED.catalog.data)
    (sent,) = bench.producer.sent
    assert (sent.topic, sent.key, sent.partition) == ("page-done", lease(1).workflow.encode(), 5)
    assert sent.value == encode(result(lease(1)))
    assert trace_in(sent.headers) == trace_of("run")


async def test_a_command_sent_again_while_it_is_unfinished_runs_once(bench: FetcherBench) -> None:
    async with bench.running():
        await bench.deliver(lease(1), lease(1))
        bench.may_end.set()
        await bench.until_committed(2)
    assert bench.begun == [lease(1)]


async def test_a_command_sent_again_after_it_is_done_is_reported_again(bench: FetcherBench) -> None:
    bench.may_end.set()
    async with bench.running():
        for offset in range(2):
            await bench.deliver(lease(1))
            await bench.until_committed(offset + 1)
    assert len(bench.producer.sent) == 2


async def test_what_is_no_command_or_can_never_be_done_becomes_a_dead_letter_and_the_others_continue(
    bench: FetcherBench,
) -> None:
    reject = raising(Rejected("workflow key 'x' is none"))
    bench.answer = lambda command: reject(command) if command == lease(1) else result(command)
    bench.may_end.set()
    async with bench.running():
        await bench.deliver(b"fetch me a page", *leases(2))
        await bench.until_committed(3)
    sent = [one for one in bench.producer.sent if one.topic == "dead-letters"]
    letters = [from_record(one.key, one.value, one.headers) for one in sent]
    assert [(letter.topic, letter.offset) for letter in letters] == [("fetch-page", 0), ("fetch-page", 1)]
    assert letters[0].reason.startswith("not a fetch-page command")
    assert letters[1].reason == "workflow key 'x' is none"


@pytest.mark.parametrize("error", [KafkaConnectionError("gone"), Broken("impossible"), asyncio.CancelledError()])
async def test_a_command_whose_result_cannot_be_published_or_that_breaks_an_invariant_ends_the_process(
    bench: FetcherBench, error: BaseException
) -> None:
    """Nothing is committed. A cancellation that comes from within the command is no end of its own, either."""
    if not isinstance(error, KafkaConnectionError):
        bench.answer = raising(error)
    else:
        bench.producer.failure = error
    bench.may_end.set()
    async with bench.running() as task:
        await bench.deliver(lease(1))
        with pytest.raises(Broken if isinstance(error, asyncio.CancelledError) else type(error)):
            await task
    assert bench.consumer.committed_offsets == {}


@pytest.mark.parametrize("beside", ["the commits", "the watch for progress", "the watch for freezes"])
async def test_a_task_beside_the_loop_that_ends_ends_the_process(
    bench: FetcherBench, monkeypatch: pytest.MonkeyPatch, beside: str
) -> None:
    monkeypatch.setattr(watchdog, "CHECK_SECONDS", 0.0)
    odd = ZeroDivisionError("odd")
    if beside == "the commits":
        bench.consumer.commit_failures = [odd]
    elif beside == "the watch for progress":
        bench.consumer.read_failure = odd
    else:
        monkeypatch.setattr(bench.liveness, "watch", AsyncMock(side_effect=odd))
    bench.may_end.set()
    bench.consumer.append(TP, lease(1))
    async with bench.running() as task:
        await until(lambda: bool(bench.producer.sent) or task.done())
        with pytest.raises(Broken, match="has ended: ZeroDivisionError"):
            await task


async def test_the_commands_of_a_revoked_partition_are_cancelled_at_once_and_forgotten(bench: FetcherBench) -> None:
    async with bench.running():
        await bench.deliver(*leases(20))
        await bench.deliver(lease(1, "other"), tp=OTHER)
        await bench.consumer.listener.on_partitions_revoked([TP])
        assert len(bench.cancelled) == concurrency.COMMANDS_PER_CONNECTION
        bench.may_end.set()
        await bench.until_committed(1, OTHER)
        assert len(bench.begun) == concurrency.COMMANDS_PER_CONNECTION + 1
    assert bench.consumer.committed_offsets == {OTHER: 1}


async def test_a_command_that_breaks_an_invariant_while_it_is_cancelled_ends_the_process(bench: FetcherBench) -> None:
    async def breaks(command: Command, is_redelivered: bool) -> Command:
        try:
            await bench.may_end.wait()
        finally:
            raise Broken("impossible")

    bench.fetcher._run = breaks
    async with bench.running() as task:
        await bench.deliver(lease(1))
        await bench.consumer.listener.on_partitions_revoked([TP])
        with pytest.raises(Broken, match="impossible"):
            await task


async def test_a_partition_that_comes_back_begins_at_its_last_commit(bench: FetcherBench) -> None:
    async with bench.running():
        await bench.deliver(*leases(2))
        await bench.consumer.rebalance(TP)
        bench.may_end.set()
        await bench.until_committed(2)
    assert bench.begun == [*leases(2), *leases(2)]


async def test_what_was_there_before_the_assignment_may_have_been_under_way_elsewhere(bench: FetcherBench) -> None:
    bench.consumer.append(TP, *leases(3))
    bench.may_end.set()
    async with bench.running():
        await bench.until_committed(3)
        await bench.deliver(lease(4))
        await bench.until_committed(4)
        assert bench.redelivered == leases(3)
        await bench.consumer.rebalance(TP)
        await bench.deliver(lease(5))
        await bench.deliver(lease(6))
        await bench.until_committed(6)
    assert bench.redelivered == [*leases(3), lease(5)]


async def test_an_assignment_that_is_announced_after_its_first_records_commits_none_of_them_early(
    bench: FetcherBench,
) -> None:
    async with bench.running():
        await bench.deliver(lease(1))
        await bench.consumer.listener.on_partitions_assigned([TP])
        await bench.deliver(b"no command")
        await until(lambda: len(bench.producer.sent) == 1)
        await turns(20)
        assert bench.consumer.committed_offsets == {}
        bench.may_end.set()
        await bench.until_committed(2)


async def test_records_that_were_fetched_before_a_rebalance_do_not_run_after_it(bench: FetcherBench) -> None:
    """Their commands are read again from the last commit on, by another process."""

    async def rebalance() -> None:
        await bench.consumer.listener.on_partitions_revoked([TP])
        await bench.consumer.listener.on_partitions_assigned([TP])

    bench.producer.on_send = rebalance
    bench.may_end.set()
    async with bench.running():
        await bench.deliver(b"no command", lease(1))
        await turns(20)
        assert bench.begun == []
    assert bench.consumer.committed_offsets == {}


async def test_a_connection_with_thousands_of_commands_does_not_delay_another_partition(
    bench: FetcherBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "UNFINISHED_PER_PARTITION_MAX", 1_000)
    async with bench.running():
        bench.consumer.append(TP, *leases(5_000))
        await until(lambda: bench.consumer.held_back == {TP})
        await bench.deliver(lease(1, "other"), tp=OTHER)
        assert bench.begun.count(lease(1, "other")) == 1
        assert len(bench.begun) == concurrency.COMMANDS_PER_CONNECTION + 1
        assert bench.consumer.positions[TP] < 1_000 + POLL_RECORDS_MAX
        bench.may_end.set()
        await bench.until_committed(5_000)
    assert bench.consumer.committed_offsets == {TP: 5_000, OTHER: 1}


async def test_organisations_whose_commands_hang_hold_places_of_their_own_only(bench: FetcherBench) -> None:
    """Ten on one partition: four hang, with all that their entities ask for, and six are done as if they were alone."""
    hanging, good = [f"hanging-{number}" for number in range(4)], [f"good-{number}" for number in range(6)]
    never = asyncio.Event()

    async def run(command: Command, is_redelivered: bool) -> Command:
        assert isinstance(command, FetchPages)
        bench.begun.append(command)
        if command.org in hanging:
            await never.wait()
        return result(command)

    bench.fetcher._run = run
    async with bench.running():
        await bench.deliver(*(lease(number, org) for org in hanging for number in range(1, 150)))
        await bench.deliver(*(lease(number, org) for number in range(1, 150) for org in good))
        await until(lambda: len(bench.producer.sent) == 6 * 149)
        begun = Counter(command.org for command in bench.begun if isinstance(command, FetchPages))
    assert begun == dict.fromkeys(hanging, concurrency.COMMANDS_PER_CONNECTION) | dict.fromkeys(good, 149)


async def test_a_fetcher_that_stops_begins_nothing_more_and_commits_nothing_undone(
    bench: FetcherBench,
) -> None:
    async with bench.running() as task:
        await bench.deliver(*leases(100))
        bench.stop.set()
        await task
    assert len(bench.begun) == len(bench.cancelled) == concurrency.COMMANDS_PER_CONNECTION
    assert bench.consumer.committed_offsets == {}


# Probes: legitimate waiting makes progress, standing still does not.


async def waiting(bench: FetcherBench) -> dict[str, int | None]:
    return {probe.name: probe.waiting for probe in await bench.fetcher.probes()}


async def progress(bench: FetcherBench) -> dict[str, Any]:
    return {probe.name: probe.progress for probe in await bench.fetcher.probes()}


async def test_a_lease_that_hangs_and_is_sent_again_makes_no_progress(bench: FetcherBench) -> None:
    async with bench.running():
        await bench.deliver(lease(1))
        before = await progress(bench)
        await bench.deliver(lease(1))
        after = await progress(bench)
    assert (after["records to read"], after["unfinished commands"]) == (2, before["unfinished commands"])


async def test_a_command_is_unfinished_and_named_until_it_ends_which_is_progress(bench: FetcherBench) -> None:
    idle = {"records to read": 0, "unfinished commands": 0, "commits of offsets": 0}
    async with bench.running():
        await bench.deliver(lease(1))
        assert await waiting(bench) == {**idle, "unfinished commands": 1, "the command at fetch-page/0/0": 1}
        before = await progress(bench)
        bench.may_end.set()
        await bench.until_committed(1)
        after = await progress(bench)
        assert await waiting(bench) == idle
    assert after["unfinished commands"] > before["unfinished commands"]
    assert after["commits of offsets"] == before["commits of offsets"] + 1


async def test_offsets_that_cannot_be_committed_are_waiting_and_committed_later(bench: FetcherBench) -> None:
    bench.consumer.commit_failures = [KafkaConnectionError("gone")] * 10_000
    bench.may_end.set()
    async with bench.running():
        await bench.deliver(lease(1))
        await until(lambda: len(bench.consumer.commit_failures) < 9_998)
        assert (await waiting(bench))["commits of offsets"] == 1
        assert (await progress(bench))["commits of offsets"] == 0
        bench.consumer.commit_failures.clear()
        await bench.until_committed(1)


async def test_records_that_the_broker_has_and_the_consumer_does_not_get_are_waiting(bench: FetcherBench) -> None:
    bench.consumer.append(TP, *leases(4))
    assert (await waiting(bench))["records to read"] == 4
    bench.consumer.read_failure = KafkaConnectionError("gone")
    assert (await waiting(bench))["records to read"] is None
