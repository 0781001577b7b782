"""Small disks that can be full: a tmpfs for each place, where we may mount one."""

import os
import subprocess
from pathlib import Path

MIB = 1024 * 1024
COMMAND_SECONDS_MAX = 30
FILLER = "chaos.filler"
STEP_BYTES = 64 * 1024  # the filler ends when not even so much more fits


class Disks:
    """`why_not` says why disks cannot be filled here; then the places are plain directories."""

    def __init__(self) -> None:
        self._mounted: list[Path] = []
        self.why_not = ""

    def place(self, path: Path, mebibytes: int) -> None:
        """A directory with a disk of its own under it."""
        path.mkdir(parents=True)
        if self.why_not:
            return
        done = _run("mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "chaos", str(path))
        if done:
            self.why_not = f"no disk of its own can be mounted for {path.name}: {done}"
            return
        self._mounted.append(path)

    def fill(self, path: Path) -> None:
        """Not a byte more fits."""
        with (path / FILLER).open("ab") as filler:
            free = os.statvfs(path)
            size = free.f_bavail * free.f_frsize
            try:
                os.posix_fallocate(filler.fileno(), 0, max(size - STEP_BYTES, STEP_BYTES))
                while True:
                    os.write(filler.fileno(), bytes(STEP_BYTES))
            except OSError:
                return  # full: what was wanted

    def free(self, path: Path) -> None:
        (path / FILLER).unlink(missing_ok=True)

    def unmount(self, keep: bool) -> None:
        """With `keep`, what is on the disks is copied out first, for whoever looks into it."""
        for path in self._mounted:
            if keep:
                _run("cp", "-a", str(path), f"{path}.kept")
            _run("umount", "--lazy", str(path))
        self._mounted.clear()


def _run(*command: str) -> str:
    """What went wrong; nothing if all is well."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_SECONDS_MAX, check=False)
    except OSError as error:
        return str(error)
    return "" if done.returncode == 0 else done.stderr.strip() or f"exit code {done.returncode}"
