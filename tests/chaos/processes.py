"""Our processes that faults are injected into: restarted as a supervisor would, unless a fault wants them down."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from service.settings import Settings, child_environment
from tests.support.house import ROOT
from tests.support.kafka import is_free

PORTS = range(30_000, 32_700)  # below those that systems assign by themselves, above what the other tests use
KEEP_SECONDS = 0.2
RESTART_FIRST_SECONDS = 0.5
RESTART_LONGEST_SECONDS = 5.0
HEALTHY_SECONDS = 15.0
STOP_SECONDS_MAX = 40.0
QUIET_CODES = (0, -signal.SIGKILL)  # stopped or killed: the experiment logs that
TAIL_BYTES_MAX = 6_000
REASONS = ("fatal:", "Corruption", "No space", "sluice: ")  # in what a process says before it ends

Log = Callable[[str], None]


@dataclass(eq=False, kw_only=True)
class Kept:
    """A process that is started again when it has ended. `held`: a fault wants it down."""

    process: subprocess.Popen[bytes] | None = None
    held: bool = False

    @property
    def runs(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def send(self, number: signal.Signals) -> None:
        if self.process is not None and self.runs:
            self.process.send_signal(number)

    def kill(self) -> None:
        """kill -9; returns when it is gone. It is started again unless it is held."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(STOP_SECONDS_MAX)


@dataclass(eq=False)
class Instance(Kept):
    """One worker, fetcher or projector. `once` is added to the environment of its next start only."""

    name: str
    settings: Settings
    environment: Mapping[str, str]
    module: str = "service"
    is_wanted: bool = False
    once: dict[str, str] = field(default_factory=dict)
    starts: int = 0
    started_at: float = 0.0
    codes: list[int] = field(default_factory=list)  # exit codes, of ends that were not requested
    delay: float = 0.0
    due: float = 0.0

    @property
    def role(self) -> str:
        return self.name.partition("-")[0]

    @property
    def log(self) -> Path:
        return self.settings.home / "logs" / f"{self.name}.log"

    @property
    def tables(self) -> Path:
        """Where a worker keeps its RocksDB."""
        return self.settings.home / "tables" / self.name

    def start(self, now: float) -> None:
        once, self.once = self.once, {}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                guarded([sys.executable, "-m", self.module, self.role, "--name", self.name]),
                cwd=ROOT,
                env={**child_environment(self.settings), **self.environment, **once},
                stdout=log,
                stderr=log,
            )
        self.started_at = now
        self.starts += 1

    def last_message(self) -> str:
        """The last line of its log that says why it ended; else the last one that says anything."""
        try:
            with self.log.open("rb") as file:
                file.seek(max(0, self.log.stat().st_size - TAIL_BYTES_MAX))
                lines = file.read().decode(errors="replace").splitlines()
        except OSError:
            return ""
        said = [line.strip() for line in lines if line.strip()]
        reasons = [line for line in said if any(word in line for word in REASONS)]
        return (reasons or said or [""])[-1]


class Keeper:
    """Starts what is wanted and does not run; waits longer each time that it ends at once."""

    def __init__(self, instances: Mapping[str, Instance], log: Log) -> None:
        self.instances = instances
        self._log = log

    async def keep(self) -> None:
        """Until it is cancelled."""
        now = asyncio.get_running_loop().time
        while True:
            for instance in self.instances.values():
                if instance.is_wanted and not instance.held and not instance.runs:
                    self._tend(instance, now())
            await asyncio.sleep(KEEP_SECONDS)

    def _tend(self, instance: Instance, now: float) -> None:
        if instance.process is not None and len(instance.codes) < instance.starts:
            self._note_end(instance, instance.process.returncode, now)
        if now >= instance.due:
            instance.start(now)

    def _note_end(self, instance: Instance, code: int, now: float) -> None:
        instance.codes.append(code)
        lived = now - instance.started_at
        if code not in QUIET_CODES:
            self._log(f"{instance.name} ended with code {code} after {lived:.0f} s: {instance.last_message()[-240:]}")
        is_healthy = lived > HEALTHY_SECONDS
        instance.delay = RESTART_FIRST_SECONDS if is_healthy else _longer(instance.delay)
        instance.due = now + instance.delay

    async def stop(self, *names: str) -> None:
        """SIGTERM and wait; after STOP_SECONDS_MAX kill -9, which is logged. They are wanted no more."""
        going = [self.instances[name] for name in names if self.instances[name].runs]
        for name in names:
            self.instances[name].is_wanted = False
        for instance in going:
            instance.send(signal.SIGTERM)
        await asyncio.gather(*(self._ended(instance) for instance in going))

    async def _ended(self, instance: Instance) -> None:
        assert instance.process is not None
        try:
            await asyncio.to_thread(instance.process.wait, STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self._log(f"{instance.name} did not end within {STOP_SECONDS_MAX:.0f} s of SIGTERM and is killed")
            instance.kill()


def _longer(delay: float) -> float:
    return min(max(delay * 2, RESTART_FIRST_SECONDS), RESTART_LONGEST_SECONDS)


def copy_tables(instance: Instance, to: Path) -> None:
    """A worker's RocksDB as it is now; the worker does not run."""
    shutil.rmtree(to, ignore_errors=True)
    if instance.tables.exists():
        shutil.copytree(instance.tables, to)


def free_ports() -> Iterator[int]:
    """Ports that are free now, each once. Each process starts to look elsewhere."""
    start = os.getpid() * 97
    for step in range(len(PORTS)):
        port = PORTS[(start + step) % len(PORTS)]
        if is_free(port):
            yield port
    raise RuntimeError(f"there are no more free ports in {PORTS}")


def guarded(command: Sequence[str | Path]) -> list[str | Path]:
    """The command so that the kernel kills it when its starter has ended (on Linux, where setpriv is there)."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", *command] if setpriv else list(command)
