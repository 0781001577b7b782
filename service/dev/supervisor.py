"""Processes kept alive: started, watched, started again when they end, stopped together."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BufferedWriter
from pathlib import Path

from service.clock import Clock

log = logging.getLogger("sluice.supervisor")

RESTART_FIRST_SECONDS = 0.2
RESTART_LONGEST_SECONDS = 10.0
SOURCE = Path(__file__).resolve().parents[2]  # first on the children's path, whatever is installed
HEALTHY_SECONDS = 20.0  # a process that ran so long starts again without delay
STOP_SECONDS_MAX = 15.0  # after SIGTERM; then SIGKILL
LAST_BYTES_MAX = 4_000  # of a log's end that is looked at for what a process said last
LOG_BYTES_MAX = 50_000_000  # a log that is longer when its process starts is put aside as .1, replacing an older one


@dataclass
class Child:
    """A process by name: its command line behind `python -m service`, how it is doing."""

    name: str
    arguments: Sequence[str]
    process: asyncio.subprocess.Process | None = None
    restarts: int = 0

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process and self.process.returncode is None else None


class Supervisor:
    """Runs children until it is stopped. Each writes to its own log file; a crash costs a restart, never the others."""

    def __init__(
        self, children: Sequence[Child], environment: Mapping[str, str], log_directory: Path, clock: Clock
    ) -> None:
        self.children = children
        self._environment = environment
        self._logs = log_directory
        self._clock = clock
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Until `stop` is called and every child has ended."""
        self._logs.mkdir(parents=True, exist_ok=True)
        async with asyncio.TaskGroup() as group:
            for child in self.children:
                group.create_task(self._keep(child))

    def stop(self) -> None:
        self._stopping.set()

    def log_of(self, child: Child) -> Path:
        return self._logs / f"{child.name}.log"

    async def _keep(self, child: Child) -> None:
        delay = RESTART_FIRST_SECONDS
        while not self._stopping.is_set():
            began = self._clock.monotonic()
            code = await self._run_once(child)
            if self._stopping.is_set():
                return
            child.restarts += 1
            lived = self._clock.monotonic() - began
            delay = RESTART_FIRST_SECONDS if lived > HEALTHY_SECONDS else min(delay * 2, RESTART_LONGEST_SECONDS)
            log.warning("%s ended with code %s and starts again in %.1f s", child.name, code, delay)
            log.warning("  it said: %s  (more in %s)", _last_line(self.log_of(child)), self.log_of(child))
            await self._sleep(delay)

    async def _run_once(self, child: Child) -> int:
        with _opened(self.log_of(child)) as output:
            child.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "service",
                *child.arguments,
                stdout=output,
                stderr=output,
                start_new_session=True,
                env={**self._environment, "PYTHONPATH": str(SOURCE)},
            )
        ended = asyncio.create_task(child.process.wait())
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({ended, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not ended.done():
            _signal(child, signal.SIGTERM)
            await asyncio.wait({ended}, timeout=STOP_SECONDS_MAX)
        if not ended.done():
            _signal(child, signal.SIGKILL)
        return await ended

    async def _sleep(self, seconds: float) -> None:
        waiting = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({waiting}, timeout=seconds)
        waiting.cancel()


def _opened(path: Path) -> BufferedWriter:
    if path.exists() and path.stat().st_size > LOG_BYTES_MAX:
        path.replace(path.with_suffix(".log.1"))
    return path.open("ab")


def _last_line(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - LAST_BYTES_MAX))
        lines = file.read().decode(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "nothing")


def _signal(child: Child, number: signal.Signals) -> None:
    if child.pid is not None:
        try:
            os.kill(child.pid, number)
        except ProcessLookupError:
            return
