import asyncio
import logging
from pathlib import Path

import psutil
import pytest

from service.clock import SystemClock
from service.dev.supervisor import Child, Supervisor
from service.settings import child_environment, read_settings


def supervised(child: Child, logs: Path) -> Supervisor:
    return Supervisor([child], child_environment(read_settings()), logs, SystemClock())


async def test_a_process_that_ends_is_started_again_and_its_last_line_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    child = Child("broken", ("manifests", "show", "nobody"))
    supervisor = supervised(child, tmp_path)
    running = asyncio.create_task(supervisor.run())
    with caplog.at_level(logging.WARNING):
        async with asyncio.timeout(60):
            while child.restarts < 2:
                await asyncio.sleep(0.05)
    supervisor.stop()
    await running
    [first, *_] = [vars(record) for record in caplog.records if record.name == "sluice.supervisor"]
    assert (first["sluice.process"], first["sluice.exit_code"]) == ("broken", 1)
    assert first["sluice.last_line"] == supervisor.log_of(child).read_text().splitlines()[-1]


async def test_a_stop_ends_the_processes(tmp_path: Path) -> None:
    child = Child("simulator", ("simulate", "pco", "--port", "0"))
    supervisor = supervised(child, tmp_path)
    running = asyncio.create_task(supervisor.run())
    async with asyncio.timeout(60):
        while not supervisor.log_of(child).exists() or "simulated" not in supervisor.log_of(child).read_text():
            await asyncio.sleep(0.05)
    pid = child.pid
    assert pid is not None
    supervisor.stop()
    await running
    assert not psutil.pid_exists(pid)
    assert child.restarts == 0
