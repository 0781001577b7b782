"""Detached processes: they outlive their starter, are found by their command line, and end within a bound."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from service.clock import Clock

POLL_SECONDS = 0.05
LAUNCH_SECONDS_MAX = 30
KILL_SECONDS_MAX = 10  # for the kernel to remove a process after SIGKILL
_DETACH = 'log=$1; shift; "$@" </dev/null >>"$log" 2>&1 & echo $!'


def launch(command: Sequence[str | Path], log: Path) -> int:
    """Start the command in a session of its own, its output appended to `log`; return its process id.

    A shell starts it and ends at once, so that init adopts it: it is not reached by a terminal, by a signal to a
    process group or by the end of its starter, and nobody has to wait for it.
    """
    shell = subprocess.run(
        ["/bin/sh", "-c", _DETACH, "sh", log, *command],
        stdout=subprocess.PIPE,
        check=True,
        start_new_session=True,
        timeout=LAUNCH_SECONDS_MAX,
    )
    return int(shell.stdout)


def is_running(pid: int, mark: str) -> bool:
    """Whether process `pid` runs and has `mark` in its command line; the id alone may belong to a later process.

    A process that has ended and was not waited for has no command line, and counts as ended.
    """
    return mark in _command_line(pid)


async def end(pid: int, mark: str, grace_seconds: float, clock: Clock) -> bool:
    """Send SIGTERM, and SIGKILL after `grace_seconds`; return whether the process ended by itself."""
    _signal(pid, mark, signal.SIGTERM)
    if await _is_gone(pid, mark, grace_seconds, clock):
        return True
    await kill(pid, mark, clock)
    return False


async def kill(pid: int, mark: str, clock: Clock) -> None:
    """End the process at once, as a power cut would, and wait (at most KILL_SECONDS_MAX) until it has ended.

    The kernel may take a moment longer to close its sockets and files.
    """
    _signal(pid, mark, signal.SIGKILL)
    await _is_gone(pid, mark, KILL_SECONDS_MAX, clock)


async def _is_gone(pid: int, mark: str, seconds: float, clock: Clock) -> bool:
    deadline = clock.monotonic() + seconds
    while is_running(pid, mark):
        if clock.monotonic() >= deadline:
            return False
        await asyncio.sleep(POLL_SECONDS)
    return True


def _signal(pid: int, mark: str, number: signal.Signals) -> None:
    if is_running(pid, mark):
        with suppress(ProcessLookupError):  # it has ended meanwhile
            os.kill(pid, number)


def _command_line(pid: int) -> str:
    """The command line; empty if there is no such process."""
    import psutil  # here: an optional extra, needed only where the embedded broker runs

    try:
        return " ".join(psutil.Process(pid).cmdline())
    except psutil.Error:
        return ""
