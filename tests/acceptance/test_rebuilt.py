"""Kafka is built anew beside the same database, and the database is restored beside the same Kafka."""

import asyncio
import shutil
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import pytest

from agents.kinds import SHIPPED
from service.cli.following import Followed, send_and_follow
from service.clock import SystemClock
from service.kafka.topics import ensure_topics
from service.status import open_status
from tests.support.installation import ROLES, Installation, installation
from tests.support.kafka import LiveBroker
from topics.catalog import CHANGELOG
from topics.kinds.sync import StartSync

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(400)]

ORG = "acme"
QUICKLY = ("--org", ORG, "--no-rate-limit", "--people", "40")
SLOWLY = ("--org", ORG, "--no-rate-limit", "--people", "2000", "--latency-ms", "100")
CLOCK = SystemClock()


async def start_and_wait(made: Installation) -> Followed:
    """`sluice start --wait`."""
    command = StartSync(org=ORG, adapter="pco", type="full")
    async with asyncio.timeout(150):
        [end] = await send_and_follow(made.settings, CLOCK, [command], nullcontext(lambda board: None))
    return end


async def rebuild_kafka(made: Installation) -> None:
    """Nothing of it is left; topics are created again, as `sluice dev` does."""
    await made.broker.wipe()
    await ensure_topics(made.settings, CLOCK, SHIPPED.catalog)


def stop_roles(made: Installation) -> None:
    for role in ROLES:
        made.processes[role].terminate()
    for role in ROLES:
        made.processes.pop(role).wait(30)


def start_roles(made: Installation) -> None:
    for role in ROLES:
        made.start(role)


def lose_changelog(made: Installation) -> None:
    """Its topic stays, by its id; its records are gone."""
    for file in made.broker.home.glob(f"data/{CHANGELOG}-*/*"):
        if file.name != "partition.metadata":
            file.unlink()


def restore(backup: Path, database: Path) -> None:
    for rest in database.parent.glob(f"{database.name}-*"):
        rest.unlink()
    shutil.copy(backup, database)


def place(request: str) -> str:
    """Topic, partition and offset of a request that has no id of its own; its time follows."""
    return request.rpartition("/")[0]


def logged(made: Installation, role: str) -> str:
    return (made.home / f"{role}.log").read_text()


async def missing(made: Installation) -> Sequence[str]:
    store = open_status(made.settings, CLOCK)
    try:
        return [run for runs in (await store.missing()).values() for run in runs]
    finally:
        await store.close()


async def test_a_sync_beside_a_kafka_that_was_built_anew_runs_really(broker: LiveBroker, tmp_path: Path) -> None:
    async with installation(broker, tmp_path, None, *QUICKLY) as made:
        first = await start_and_wait(made)
        stop_roles(made)
        await rebuild_kafka(made)
        start_roles(made)
        second = await start_and_wait(made)
        assert first.run is not None
        assert second.run is not None
        assert place(first.run.request) == place(second.run.request)
        assert second.is_done
        assert first.run.run_id != second.run.run_id
        assert [run.run_id for run in await made.runs()] == [second.run.run_id, first.run.run_id]
        assert [one for one in await made.compared(ORG) if not one.is_equal] == []
        assert "are discarded and restored" in logged(made, "worker")
        said = logged(made, "fetcher") + logged(made, "projector")
        assert said.count("Kafka has another journal than this database knew") == 1


async def test_a_run_that_kafka_lost_has_failed_and_the_next_one_is_shown(broker: LiveBroker, tmp_path: Path) -> None:
    async with installation(broker, tmp_path, None, *SLOWLY, concurrency=4) as made:
        await made.produce("start-sync", StartSync(org=ORG, adapter="pco", type="full").model_dump_json().encode())
        (lost,) = await made.until(lambda runs: bool(runs), "a run in progress")
        stop_roles(made)
        await rebuild_kafka(made)
        start_roles(made)
        await made.until(lambda runs: runs[0].status == "failed", "the end of the run that was lost")
        await made.produce("start-sync", StartSync(org=ORG, adapter="pco", type="full").model_dump_json().encode())
        runs = await made.until(lambda runs: len(runs) == 2, "the next run")
        assert [(run.run_id == lost.run_id, run.status) for run in runs] == [(False, "running"), (True, "failed")]
        assert "start it again" in runs[1].reason


async def test_a_worker_whose_changelog_lost_its_end_says_so_and_the_next_one_restores_its_store(
    broker: LiveBroker, tmp_path: Path
) -> None:
    async with installation(broker, tmp_path, None, *QUICKLY) as made:
        await start_and_wait(made)
        stop_roles(made)
        await made.broker.stop()
        lose_changelog(made)
        await made.broker.start()
        made.start("worker")
        assert made.processes["worker"].wait(60) == 1
        assert "a restart discards and restores it" in logged(made, "worker")
        start_roles(made)
        assert (await start_and_wait(made)).is_done


async def test_a_database_that_was_restored_shows_todays_runs_and_says_whose_rows_are_missing(
    broker: LiveBroker, tmp_path: Path
) -> None:
    async with installation(broker, tmp_path, None, *QUICKLY) as made:
        await start_and_wait(made)
        backup, database = tmp_path / "backup", made.home / "sluice.db"
        stop_roles(made)
        shutil.copy(database, backup)
        start_roles(made)
        today = await start_and_wait(made)
        stop_roles(made)
        restore(backup, database)
        start_roles(made)
        await made.until(lambda runs: len(runs) == 2 and runs[0].status == "done", "today's run")
        assert today.run is not None
        lost = await missing(made)
        assert {run.partition(":")[0] for run in lost} == {"entity-sync"}
        assert len(lost) == today.run.counts["done"]
        assert "the database knows less than was written to it" in logged(made, "projector")
        assert (await start_and_wait(made)).is_done
        assert await missing(made) == []
