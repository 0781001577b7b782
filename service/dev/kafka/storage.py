"""Directories on disk: created, and checked for space, before they are used."""

import shutil
from pathlib import Path

from topics.errors import Rejected

MIB = 1024 * 1024


def prepare_directory(path: Path, free_bytes_min: int, setting: str) -> Path:
    """Create the directory and return it as an absolute path.

    Rejected if it cannot be written or fewer than `free_bytes_min` bytes are free. `setting` names its setting.
    """
    directory = path.expanduser().absolute()
    try:
        directory.mkdir(parents=True, exist_ok=True)
        probe = directory / ".writable"
        probe.touch()
        probe.unlink(missing_ok=True)
        free = shutil.disk_usage(directory).free
    except OSError as error:
        raise Rejected(f"{directory} cannot be written: {error.strerror}; make it writable or set {setting}") from None
    if free < free_bytes_min:
        raise Rejected(
            f"{directory} has {free // MIB} MiB free, at least {free_bytes_min // MIB} MiB are needed: "
            f"free some space or set {setting}"
        )
    return directory
