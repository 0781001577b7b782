"""Logs of `sluice dev` stay small while their processes write."""

import asyncio
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.clock import SystemClock
from service.dev import environment
from service.dev.environment import LocalEnvironment
from service.dev.kafka.storage import MIB
from service.dev.logs import empty_if_large
from service.dev.supervisor import Child
from service.settings import Settings

WRITER = 'i=0; while [ $i -lt 1000000 ]; do echo "line $i of a process that writes without end"; i=$((i+1)); done'


@pytest.fixture
def written(tmp_path: Path) -> Iterator[Path]:
    """A log that a process appends to, as a supervised one and the broker do."""
    log = tmp_path / "logs" / "worker.log"
    log.parent.mkdir()
    with log.open("ab") as output:
        process = subprocess.Popen(["/bin/sh", "-c", WRITER], stdout=output)
    yield log
    process.kill()
    process.wait()


def until_larger(log: Path, size: int) -> None:
    deadline = time.monotonic() + 60
    while log.stat().st_size <= size:
        assert time.monotonic() < deadline
        time.sleep(0.001)


def is_there(path: Path) -> bool:
    return path.exists()


def test_the_process_continues_at_the_beginning_of_the_emptied_file(written: Path) -> None:
    old = written.with_name("worker.log.old")
    assert not empty_if_large(written, 2**40)
    for _ in range(3):
        until_larger(written, 10_000)
        assert empty_if_large(written, 10_000)
        assert old.stat().st_size > 10_000
        until_larger(written, 0)
        assert b"\0" not in written.read_bytes()
        assert b"\0" not in old.read_bytes()


def test_a_text_that_cannot_be_kept_is_given_up(tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    log.write_text("text")
    log.with_name("worker.log.old").mkdir()
    assert empty_if_large(log, 3)
    assert log.read_text() == ""


def test_a_log_that_is_not_there_is_not_large(tmp_path: Path) -> None:
    assert not empty_if_large(tmp_path / "worker.log", 3)


async def test_logs_of_a_local_environment_and_of_its_broker_are_bounded_while_it_runs(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "LOGS_CHECK_SECONDS", 0.01)
    home = written.parent.parent
    broker = home / "kafka" / "broker.log"
    broker.parent.mkdir()
    broker.write_bytes(b"x" * (MIB + 1))
    said: list[str] = []
    local = LocalEnvironment(Settings(home=home, kafka_bootstrap="127.0.0.1:1", log_mib=1), SystemClock(), said.append)
    local.supervisor.children = [Child("simulator", ("simulate", "pco", "--port", "0"))]
    running = asyncio.create_task(local.run())
    async with asyncio.timeout(60):
        while not (is_there(written.with_name("worker.log.old")) and is_there(broker.with_name("broker.log.old"))):
            await asyncio.sleep(0.01)
    local.stop()
    await running
    assert said == []
