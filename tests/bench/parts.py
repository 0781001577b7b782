"""What each part costs: CPU seconds, and the most memory that it held. Linux only: the kernel's own counters.

A part is a process and all below it; the benchmark's own process, in which a floor runs, is itself alone.
"""

import os
import statistics
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import psutil

STDIN = 0
_RESET_PEAK = "5"  # what the kernel takes for it (proc(5), clear_refs)


def end_with_parent() -> None:
    """From now on, when whoever started this process has ended, however that was, it ends: its standard input is a
    pipe that was left open."""

    def wait() -> None:
        while os.read(STDIN, 1):
            pass
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()


def cpu_seconds(parts: Mapping[str, int]) -> dict[str, float]:
    """User and system time so far of each part, ended processes below it included; by name."""
    return {name: sum(_cpu_of(process) for process in _tree(pid)) for name, pid in parts.items()}


def forget_peaks(parts: Mapping[str, int]) -> None:
    """From now on `peak_mb` is the most since now."""
    for pid in parts.values():
        for process in _tree(pid):
            Path(f"/proc/{process.pid}/clear_refs").write_text(_RESET_PEAK)


def peak_mb(parts: Mapping[str, int]) -> dict[str, float]:
    """The most resident memory of each part since it started or was forgotten; what its processes share counts once."""
    return {name: round(_memory_of(pid, "VmHWM") / 1024, 1) for name, pid in parts.items()}


def median_of_each(figures: Sequence[Mapping[str, float]], digits: int) -> dict[str, float]:
    """Of each part, over the rounds."""
    return {name: round(statistics.median(one[name] for one in figures), digits) for name in figures[0]}


def most_of_each(figures: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: max(one[name] for one in figures) for name in figures[0]}


def spread(rates: Sequence[float]) -> float:
    """(highest - lowest) / median."""
    return round((max(rates) - min(rates)) / statistics.median(rates), 3)


def resident_mb(pid: int) -> float:
    """The resident memory of a part, now."""
    return round(_memory_of(pid, "VmRSS") / 1024, 1)


def _memory_of(pid: int, field: str) -> int:
    """In kB."""
    status = [found for process in _tree(pid) if (found := _status(process.pid))]
    shared = [one["RssShmem"] for one in status]
    return sum(one[field] for one in status) - sum(shared) + max(shared, default=0)


def _status(pid: int) -> dict[str, int]:
    """The kB lines of a process's status; none if it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except FileNotFoundError:
        return {}
    return {line.partition(":")[0]: int(line.split()[1]) for line in lines if line.endswith(" kB")}


def _cpu_of(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:  # it has ended since it was listed: its parent's times have its own
        return 0.0
    ended = 0.0 if process.pid == os.getpid() else times.children_user + times.children_system
    return float(times.user + times.system + ended)


def _tree(pid: int) -> Iterator[psutil.Process]:
    process = psutil.Process(pid)
    yield process
    if pid != os.getpid():
        yield from process.children(recursive=True)
