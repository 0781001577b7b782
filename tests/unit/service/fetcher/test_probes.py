"""The probes of a fetcher: legitimate waiting makes progress, standing still does not."""

from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError

from tests.unit.service.fetcher.harness import TP, FetcherBench, lease, leases, until


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> FetcherBench:
    return FetcherBench(monkeypatch)


async def waiting(bench: FetcherBench) -> dict[str, int | None]:
    return {probe.name: probe.waiting for probe in await bench.fetcher.probes()}


async def progress(bench: FetcherBench) -> dict[str, Any]:
    return {probe.name: probe.progress for probe in await bench.fetcher.probes()}


async def test_a_command_that_was_read_is_unfinished_and_is_named(bench: FetcherBench) -> None:
    async with bench.running():
        await bench.deliver(lease(1))
        assert await waiting(bench) == {
            "records to read": 0,
            "unfinished commands": 1,
            "commits of offsets": 0,
            "the command at fetch-page/0/0": 1,
        }


async def test_a_lease_that_hangs_and_is_sent_again_makes_no_progress(bench: FetcherBench) -> None:
    async with bench.running():
        await bench.deliver(lease(1))
        before = await progress(bench)
        await bench.deliver(lease(1))
        after = await progress(bench)
    assert (after["records to read"], after["unfinished commands"]) == (2, before["unfinished commands"])


async def test_a_lease_that_ends_is_progress_and_its_offset_is_committed(bench: FetcherBench) -> None:
    async with bench.running():
        await bench.deliver(lease(1))
        before = await progress(bench)
        bench.may_end.set()
        await bench.until_committed(1)
        after = await progress(bench)
        assert await waiting(bench) == {"records to read": 0, "unfinished commands": 0, "commits of offsets": 0}
    assert after["unfinished commands"] > before["unfinished commands"]
    assert after["commits of offsets"] == before["commits of offsets"] + 1


async def test_offsets_that_cannot_be_committed_are_waiting(bench: FetcherBench) -> None:
    bench.consumer.commit_failures = [KafkaConnectionError("gone")] * 10_000
    bench.may_end.set()
    async with bench.running():
        await bench.deliver(lease(1))
        await until(lambda: len(bench.consumer.commit_failures) < 9_998)
        assert (await waiting(bench))["commits of offsets"] == 1
        assert (await progress(bench))["commits of offsets"] == 0


async def test_records_that_the_broker_has_and_the_consumer_does_not_get_are_waiting(bench: FetcherBench) -> None:
    bench.consumer.append(TP, *leases(4))
    assert (await waiting(bench))["records to read"] == 4
    bench.consumer.read_failure = KafkaConnectionError("gone")
    assert (await waiting(bench))["records to read"] is None
