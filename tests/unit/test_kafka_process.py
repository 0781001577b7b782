import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.clock import SystemClock
from service.dev.kafka.process import end, is_running, kill, launch

POLITE = "while :; do sleep 0.05; done"
STUBBORN = f'trap "" TERM; echo ready; {POLITE}'


class Launched:
    """A shell script that runs; its mark is its own log's path, which it gets as an argument."""

    def __init__(self, script: str, directory: Path) -> None:
        self.log = directory / "log"
        self.mark = str(self.log)
        self.pid = launch(["/bin/sh", "-c", script, self.mark], self.log)

    @property
    def runs(self) -> bool:
        return is_running(self.pid, self.mark)


@pytest.fixture
def polite(tmp_path: Path) -> Iterator[Launched]:
    launched = Launched(POLITE, tmp_path)
    yield launched
    if launched.runs:
        os.kill(launched.pid, 9)


def test_a_launched_process_is_a_session_of_its_own_and_not_our_child(polite: Launched) -> None:
    assert polite.runs
    assert os.getsid(polite.pid) != os.getsid(0)
    with pytest.raises(ChildProcessError):
        os.waitpid(polite.pid, os.WNOHANG)


def test_another_program_under_the_same_id_is_not_ours(polite: Launched) -> None:
    assert not is_running(polite.pid, "/some/other/server.properties")


def test_a_process_that_was_never_there_does_not_run() -> None:
    assert not is_running(2**22 + 1, "sh")  # above the highest id that Linux gives


async def test_a_polite_process_ends_by_itself(polite: Launched) -> None:
    assert await end(polite.pid, polite.mark, 10, SystemClock())
    assert not polite.runs


async def test_a_stubborn_process_is_killed_after_its_grace(tmp_path: Path) -> None:
    stubborn = Launched(STUBBORN, tmp_path)
    while "ready" not in stubborn.log.read_text():
        assert stubborn.runs
    assert not await end(stubborn.pid, stubborn.mark, 0.1, SystemClock())
    assert not stubborn.runs


async def test_a_killed_process_is_gone_when_kill_returns(polite: Launched) -> None:
    await kill(polite.pid, polite.mark, SystemClock())
    assert not polite.runs


async def test_ending_what_has_ended_is_fine(polite: Launched) -> None:
    await kill(polite.pid, polite.mark, SystemClock())
    assert await end(polite.pid, polite.mark, 0, SystemClock())
