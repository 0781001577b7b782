"""A worker's RocksDB: corrupted, deleted, as it once was, on a full disk."""

import asyncio
import shutil
from pathlib import Path

from tests.chaos.faults.fault import Fault
from tests.chaos.faults.killing import Kill
from tests.chaos.processes import Instance, copy_tables
from tests.chaos.system import System

DAMAGED_SHARE = 0.5  # of the files
DAMAGED_BYTES_MAX = 64


class WithoutWorker(Kill):
    """A worker is killed, and finds something else on its disk when it starts again."""

    role, touches = "worker", frozenset({"worker"})
    seconds = (0.0, 2.0)

    async def inject(self, system: System) -> None:
        await super().inject(system)
        assert self.victim is not None
        await asyncio.to_thread(self.damage, system, self.victim)

    def damage(self, system: System, victim: Instance) -> None:
        """What becomes of its directory while it does not run."""
        raise NotImplementedError


class DeleteStore(WithoutWorker):
    """Its disk is a new one."""

    name = "RocksDB deleted"

    def damage(self, system: System, victim: Instance) -> None:
        shutil.rmtree(victim.tables, ignore_errors=True)


class CorruptStore(WithoutWorker):
    """Random bytes in random files."""

    name = "RocksDB corrupted"

    def damage(self, system: System, victim: Instance) -> None:
        files = sorted(path for path in victim.tables.rglob("*") if path.is_file() and path.stat().st_size)
        chosen = self.random.sample(files, max(1, int(len(files) * DAMAGED_SHARE))) if files else []
        self.what += f", {len(chosen)} files"
        for path in chosen:
            self._overwrite(path)

    def _overwrite(self, path: Path) -> None:
        size = path.stat().st_size
        with path.open("r+b") as file:
            file.seek(self.random.randrange(size))
            file.write(self.random.randbytes(self.random.randint(1, min(size, DAMAGED_BYTES_MAX))))


class RollBackStore(WithoutWorker):
    """An old copy of its directory, from some seconds before."""

    name = "RocksDB rolled back"
    seconds = (6.0, 12.0)

    def damage(self, system: System, victim: Instance) -> None:
        copy_tables(victim, self._copy(system))
        victim.held = False

    async def heal(self, system: System) -> None:
        if self.victim is None:
            return
        self.victim.held = True
        self.victim.kill()
        shutil.rmtree(self.victim.tables, ignore_errors=True)
        if self._copy(system).exists():
            shutil.copytree(self._copy(system), self.victim.tables)
        self.victim.held = False

    def _copy(self, system: System) -> Path:
        return system.home / "rocksdb-as-it-was"


class TablesDiskFull(Fault):
    """Not a byte more fits under the workers' tables."""

    name, touches = "disk full under RocksDB", frozenset({"worker"})
    needs = "disks"
    seconds = (4.0, 8.0)

    async def inject(self, system: System) -> None:
        system.disks.fill(system.tables)

    async def heal(self, system: System) -> None:
        system.disks.free(system.tables)
