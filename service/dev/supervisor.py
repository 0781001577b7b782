"""Supervisor of processes: starts them, restarts each one that ends, stops them together."""

import asyncio
import logging
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from agents.core.retry import RESTART
from service.clock import Clock

log = logging.getLogger("sluice.supervisor")

SOURCE = Path(__file__).resolve().parents[2]  # first on the children's path, whatever is installed
HEALTHY_SECONDS = 20.0  # after so long a run the first wait of RESTART applies again
STOP_SECONDS_MAX = 15.0  # after SIGTERM; then SIGKILL
LAST_BYTES_MAX = 4_000  # of a log's end, in which its last line is looked for


@dataclass
class Child:
    """A process by name: its arguments of `python -m service`, and its state."""

    name: str
    arguments: Sequence[str]
    process: asyncio.subprocess.Process | None = None
    restarts: int = 0

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process and self.process.returncode is None else None


class Supervisor:
    """Runs children until it is stopped. Each has a log file of its own, and is restarted without the others."""

    def __init__(
        self, children: Sequence[Child], environment: Mapping[str, str], log_directory: Path, clock: Clock
    ) -> None:
        self.children = children
        self._environment = environment
        self._logs = log_directory
        self._clock = clock
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Run until `stop` is called and every child has ended."""
        self._logs.mkdir(parents=True, exist_ok=True)
        async with asyncio.TaskGroup() as group:
            for child in self.children:
                group.create_task(self._keep(child))

    def stop(self) -> None:
        self._stopping.set()

    def log_of(self, child: Child) -> Path:
        return self._logs / f"{child.name}.log"

    async def _keep(self, child: Child) -> None:
        attempt = 1
        while not self._stopping.is_set():
            began = self._clock.monotonic()
            code = await self._run_once(child)
            if self._stopping.is_set():
                return
            child.restarts += 1
            lived = self._clock.monotonic() - began
            attempt = 1 if lived > HEALTHY_SECONDS else attempt + 1
            delay = RESTART.wait_seconds(attempt)
            facts = {
                "sluice.process": child.name,
                "sluice.exit_code": code,
                "sluice.restart_in_seconds": delay,
                "sluice.log": self.log_of(child),
                "sluice.last_line": _last_line(self.log_of(child)),
            }
            log.warning("process ended", extra=facts)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), delay)

    async def _run_once(self, child: Child) -> int:
        with self.log_of(child).open("ab") as output:
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
        with suppress(ProcessLookupError):  # it ends by itself meanwhile
            if not ended.done():
                child.process.terminate()
                await asyncio.wait({ended}, timeout=STOP_SECONDS_MAX)
            if not ended.done():
                child.process.kill()
        return await ended


def _last_line(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - LAST_BYTES_MAX))
        lines = file.read().decode(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "nothing")
