"""A process that fails exactly where it hurts most: the sync completes, and fetches no committed page again."""

import asyncio
import json
import signal
import subprocess
import sys
from itertools import chain
from pathlib import Path

import pytest

from agents.watchdog import EXIT_NO_PROGRESS
from service.settings import child_environment
from tests.acceptance.test_crashes import Moment, moment, served
from tests.support.installation import ROOT, Installation, installation
from tests.support.kafka import LiveBroker

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(200)]

ORG = "acme"
SMALL = ("--org", ORG, "--no-rate-limit", "--people", "150", "--latency-ms", "200")
START = json.dumps({"org": ORG, "adapter": "pco", "type": "full"}).encode()
CRASHES = {
    "fetcher": ("after_fetch=crash@9", "after_db_commit=crash@5", "after_report=crash@3"),
    "worker": ("after_store=crash@3", "after_changelog=crash@3", "after_flush=crash@2"),
}
STALLS = {
    "fetcher": ("after_fetch=stall@5", "unfinished commands: "),
    "worker": ("after_changelog=stall@3", "no progress for"),
}
WAIT_SECONDS_MAX = 60
# Its watchdog waits less than a user's: nothing that rightly waits does so for long here.
IMPATIENTLY = """if True:
    from agents import watchdog
    from agents.faust import watchdog as probes
    from service.fetcher import process
    watchdog.CHECK_SECONDS = 0.5
    probes.PROGRESS_SECONDS_MAX = process.PROGRESS_SECONDS_MAX = 6.0
    process.STEP_SECONDS_MAX = 3.0
    from service.cli import main
    main()
"""


async def test_crashes_at_each_of_the_six_instants_and_stalls_lose_and_repeat_nothing(
    broker: LiveBroker, tmp_path: Path, postgres_dsn: str
) -> None:
    async with installation(broker, tmp_path, postgres_dsn, *SMALL, concurrency=4) as made:
        for role in CRASHES:
            made.kill(role)
        await made.produce("start-sync", START)
        async with asyncio.TaskGroup() as group:
            failing = [group.create_task(fail(made, role)) for role in CRASHES]
        (run,) = await made.until(lambda runs: bool(runs) and runs[0].has_ended, "the end of the run")
        assert run.status == "done", run.reason
        assert [entity for entity in await made.compared(ORG) if not entity.is_equal] == []
        for then in chain.from_iterable(task.result() for task in failing):
            again = [page for _, page in served(made)[then.served :] if page in then.committed]
            assert again == [], "committed pages were fetched again"


async def fail(made: Installation, role: str) -> list[Moment]:
    """Crash and stall at each point in turn; started again each time. What was committed then."""
    moments = []
    for point in CRASHES[role]:
        start(made, role, point, "-m", "service")
        assert await ended(made, role) == -signal.SIGKILL
        assert last_line(made, role).endswith(f"failpoint reached: {point}")
        moments.append(await moment(made))
    point, sentence = STALLS[role]
    start(made, role, point, "-c", IMPATIENTLY)
    assert await ended(made, role) == EXIT_NO_PROGRESS
    assert sentence in last_line(made, role)
    moments.append(await moment(made))
    made.start(role)
    return moments


def start(made: Installation, role: str, point: str, *program: str) -> None:
    settings = made.settings.model_copy(update={"failpoints": point})
    with (made.home / f"{role}.log").open("ab") as log:
        made.processes[role] = subprocess.Popen(
            [sys.executable, *program, role], cwd=ROOT, env=child_environment(settings), stdout=log, stderr=log
        )


async def ended(made: Installation, role: str) -> int:
    """The exit code, once the process has ended by itself."""
    process = made.processes[role]
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        while (code := process.poll()) is None:
            await asyncio.sleep(0.1)
    made.processes.pop(role)
    return code


def last_line(made: Installation, role: str) -> str:
    return (made.home / f"{role}.log").read_text().splitlines()[-1]
