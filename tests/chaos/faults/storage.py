"""A worker's RocksDB: corrupted, deleted, as it once was, on a full disk."""

import asyncio
import shutil
from pathlib import Path

from tests.chaos.faults.fault import Fault
from tests.chaos.processes import Instance, copy_tables
from tests.chaos.site import Site

SPOILED_SHARE = 0.5  # of the files
SPOILED_BYTES_MAX = 64


class WithoutWorker(Fault):
    """A worker is killed, and finds something else on its disk when it starts again."""

    touches = frozenset({"worker"})
    seconds = (0.0, 2.0)
    victim: Instance | None = None

    async def inject(self, site: Site) -> None:
        self.victim = site.pick(self.random, "worker")
        self.what = self.victim.name
        self.hold(self.victim)
        await asyncio.to_thread(self.spoil, site, self.victim)

    async def heal(self, site: Site) -> None:
        if self.victim is not None:
            self.victim.held = False

    def hold(self, victim: Instance) -> None:
        victim.held = True
        victim.kill()

    def spoil(self, site: Site, victim: Instance) -> None:
        """What becomes of its directory while it does not run."""
        raise NotImplementedError


class DeleteStore(WithoutWorker):
    """Its disk is a new one."""

    name = "RocksDB deleted"

    def spoil(self, site: Site, victim: Instance) -> None:
        shutil.rmtree(victim.tables, ignore_errors=True)


class CorruptStore(WithoutWorker):
    """Random bytes in random files."""

    name = "RocksDB corrupted"

    def spoil(self, site: Site, victim: Instance) -> None:
        files = sorted(path for path in victim.tables.rglob("*") if path.is_file() and path.stat().st_size)
        chosen = self.random.sample(files, max(1, int(len(files) * SPOILED_SHARE))) if files else []
        self.what += f", {len(chosen)} files"
        for path in chosen:
            self._overwrite(path)

    def _overwrite(self, path: Path) -> None:
        size = path.stat().st_size
        with path.open("r+b") as file:
            file.seek(self.random.randrange(size))
            file.write(self.random.randbytes(self.random.randint(1, min(size, SPOILED_BYTES_MAX))))


class RollBackStore(WithoutWorker):
    """An old copy of its directory, from some seconds before."""

    name = "RocksDB rolled back"
    seconds = (6.0, 12.0)

    def spoil(self, site: Site, victim: Instance) -> None:
        copy_tables(victim, self._copy(site))
        victim.held = False

    async def heal(self, site: Site) -> None:
        if self.victim is None:
            return
        self.hold(self.victim)
        shutil.rmtree(self.victim.tables, ignore_errors=True)
        if self._copy(site).exists():
            shutil.copytree(self._copy(site), self.victim.tables)
        self.victim.held = False

    def _copy(self, site: Site) -> Path:
        return site.home / "rocksdb-as-it-was"


class TablesDiskFull(Fault):
    """Not a byte more fits under the workers' tables."""

    name, touches = "disk full under RocksDB", frozenset({"worker"})
    seconds = (4.0, 8.0)

    async def inject(self, site: Site) -> None:
        site.disks.fill(site.tables)

    async def heal(self, site: Site) -> None:
        site.disks.free(site.tables)

    @classmethod
    def why_not(cls, site: Site) -> str:
        return site.disks.why_not
