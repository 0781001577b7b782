"""Where the time goes: CPU seconds of each part's processes."""

from collections.abc import Mapping

import psutil


def cpu_seconds(parts: Mapping[str, int]) -> dict[str, float]:
    """User and system time so far of each process and of all below it, ended ones included; by name."""
    return {name: _of_tree(pid) for name, pid in parts.items()}


def _of_tree(pid: int) -> float:
    try:
        process = psutil.Process(pid)
        times = [process.cpu_times(), *(child.cpu_times() for child in process.children(recursive=True))]
    except psutil.NoSuchProcess:
        return 0.0
    return float(sum(one.user + one.system for one in times))
