import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.clock import SystemClock
from service.dev.kafka.process import end, is_running, kill, launch

POLITE = "while :; do sleep 0.05; done"
STUBBORN = f'trap "" TERM; echo ready; {POLITE}'


class Launched:
    """A script that runs; its mark is its own log's path, which it gets as an argument."""

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


def test_neither_another_program_of_the_same_id_nor_an_id_of_nobody_is_ours(polite: Launched) -> None:
    assert not is_running(polite.pid, "/some/other/server.properties")
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


async def test_a_killed_process_is_gone_when_kill_returns_and_may_be_ended_again(polite: Launched) -> None:
    await kill(polite.pid, polite.mark, SystemClock())
    assert not polite.runs
    assert await end(polite.pid, polite.mark, 0, SystemClock())
