from collections.abc import Callable

import pytest
from aiokafka.errors import KafkaConnectionError

from agents import concurrency, watchdog
from agents.kinds import SHIPPED
from service.fetcher.consumer import POLL_RECORDS_MAX, UNFINISHED_PER_PARTITION_MAX
from tests.unit.service.fetcher.harness import OTHER, TP, FetcherBench, lease, leases, result, turns, until
from topics.codec import encode, headers, trace_in, trace_of
from topics.command import Command
from topics.dead_letters import from_record
from topics.errors import Broken, Rejected
from topics.kinds.entity import FetchPages


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> FetcherBench:
    return FetcherBench(monkeypatch)


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


async def test_a_command_that_is_not_done_is_not_committed(bench: FetcherBench) -> None:
    async with bench.running():
        await bench.deliver(lease(1))
        assert bench.begun == [lease(1)]
    assert bench.consumer.committed == {}
    assert bench.cancelled == [lease(1)]


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


async def test_a_message_that_is_no_command_becomes_a_dead_letter(bench: FetcherBench) -> None:
    async with bench.running():
        await bench.deliver(b"fetch me a page")
        await bench.until_committed(1)
    (sent,) = bench.producer.sent
    letter = from_record(sent.key, sent.value, sent.headers)
    assert (sent.topic, letter.topic, letter.offset) == ("dead-letters", "fetch-page", 0)
    assert letter.reason.startswith("not a fetch-page command")


async def test_a_command_that_can_never_be_done_becomes_a_dead_letter_and_the_others_continue(
    bench: FetcherBench,
) -> None:
    def reject(command: FetchPages) -> Command:
        if command == lease(1):
            raise Rejected("workflow key 'x' is none")
        return result(command)

    bench.answer = reject
    bench.may_end.set()
    async with bench.running():
        await bench.deliver(*leases(2))
        await bench.until_committed(2)
    (letter,) = [one for one in bench.producer.sent if one.topic == "dead-letters"]
    assert from_record(letter.key, letter.value, letter.headers).reason == "workflow key 'x' is none"


def _fail_to_publish(bench: FetcherBench) -> None:
    bench.producer.failure = KafkaConnectionError("gone")


def _break_an_invariant(bench: FetcherBench) -> None:
    def break_it(command: FetchPages) -> Command:
        raise Broken("impossible")

    bench.answer = break_it


@pytest.mark.parametrize(("cause", "error"), [(_fail_to_publish, KafkaConnectionError), (_break_an_invariant, Broken)])
async def test_a_command_that_fails_in_these_ways_ends_the_process_with_nothing_committed(
    bench: FetcherBench, cause: Callable[[FetcherBench], None], error: type[Exception]
) -> None:
    cause(bench)
    bench.may_end.set()
    async with bench.running() as task:
        await bench.deliver(lease(1))
        with pytest.raises(error):
            await task
    assert bench.consumer.committed == {}


def _end_the_commits(bench: FetcherBench) -> None:
    bench.consumer.commit_failures = [ZeroDivisionError("odd")]


def _end_the_watch_for_progress(bench: FetcherBench) -> None:
    bench.consumer.read_failure = ZeroDivisionError("odd")


def _end_the_watch_for_freezes(bench: FetcherBench) -> None:
    async def watch() -> None:
        raise ZeroDivisionError("odd")

    bench.liveness.watch = watch  # type: ignore[method-assign]  # it has no way to fail of its own


@pytest.mark.parametrize("cause", [_end_the_commits, _end_the_watch_for_progress, _end_the_watch_for_freezes])
async def test_a_task_beside_the_loop_that_ends_ends_the_process(
    bench: FetcherBench, monkeypatch: pytest.MonkeyPatch, cause: Callable[[FetcherBench], None]
) -> None:
    monkeypatch.setattr(watchdog, "CHECK_SECONDS", 0.0)
    cause(bench)
    bench.may_end.set()
    bench.consumer.append(TP, lease(1))
    async with bench.running() as task:
        await until(lambda: bool(bench.producer.sent) or task.done())
        with pytest.raises(Broken, match="has ended: ZeroDivisionError"):
            await task


async def test_a_commit_that_fails_is_retried(bench: FetcherBench) -> None:
    bench.may_end.set()
    bench.consumer.commit_failures = [KafkaConnectionError("gone")] * 3
    async with bench.running():
        await bench.deliver(lease(1))
        await bench.until_committed(1)


async def test_the_commands_of_a_revoked_partition_are_cancelled_at_once_and_forgotten(bench: FetcherBench) -> None:
    async with bench.running():
        await bench.deliver(*leases(20))
        await bench.deliver(lease(1, "other"), tp=OTHER)
        await bench.consumer.listener.on_partitions_revoked([TP])
        assert len(bench.cancelled) == concurrency.COMMANDS_PER_CONNECTION
        bench.may_end.set()
        await bench.until_committed(1, OTHER)
        assert len(bench.begun) == concurrency.COMMANDS_PER_CONNECTION + 1
    assert bench.consumer.committed == {OTHER: 1}


async def test_a_partition_that_comes_back_begins_at_its_last_commit(bench: FetcherBench) -> None:
    async with bench.running():
        await bench.deliver(*leases(2))
        await bench.consumer.rebalance(TP)
        bench.may_end.set()
        await bench.until_committed(2)
    assert bench.begun == [*leases(2), *leases(2)]


async def test_an_assignment_that_is_announced_after_its_first_records_commits_none_of_them_early(
    bench: FetcherBench,
) -> None:
    async with bench.running():
        await bench.deliver(lease(1))
        await bench.consumer.listener.on_partitions_assigned([TP])
        await bench.deliver(b"no command")
        await until(lambda: len(bench.producer.sent) == 1)
        await turns(20)
        assert bench.consumer.committed == {}
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
    assert bench.consumer.committed == {}


async def test_a_connection_with_thousands_of_commands_does_not_delay_another_partition(bench: FetcherBench) -> None:
    async with bench.running():
        bench.consumer.append(TP, *leases(5_000))
        await until(lambda: bench.consumer.held_back == {TP})
        await bench.deliver(lease(1, "other"), tp=OTHER)
        assert bench.begun.count(lease(1, "other")) == 1
        assert len(bench.begun) == concurrency.COMMANDS_PER_CONNECTION + 1
        assert bench.consumer.positions[TP] < UNFINISHED_PER_PARTITION_MAX + POLL_RECORDS_MAX
        bench.may_end.set()
        await bench.until_committed(5_000)
    assert bench.consumer.committed == {TP: 5_000, OTHER: 1}


async def test_a_connection_with_many_commands_does_not_delay_another_one_of_its_partition(bench: FetcherBench) -> None:
    async with bench.running():
        await bench.deliver(*leases(100), lease(1, "other"))
        assert bench.begun.count(lease(1, "other")) == 1
        assert len(bench.begun) == concurrency.COMMANDS_PER_CONNECTION + 1


async def test_a_fetcher_that_stops_begins_nothing_more(bench: FetcherBench) -> None:
    async with bench.running() as task:
        await bench.deliver(*leases(100))
        bench.stop.set()
        await task
    assert len(bench.begun) == len(bench.cancelled) == concurrency.COMMANDS_PER_CONNECTION
