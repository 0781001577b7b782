"""Processes that do not outlive us, however we end."""

import shutil
from collections.abc import Sequence
from pathlib import Path


def guarded(command: Sequence[str | Path]) -> list[str | Path]:
    """The command so that the kernel kills it when its starter has ended (on Linux, where setpriv is there)."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", *command] if setpriv else list(command)
