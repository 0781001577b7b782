"""Ports for servers whose configuration names theirs before they start."""

import os
from collections.abc import Iterator

from tests.support.kafka import is_free

PORTS = range(30_000, 32_700)  # below those that systems assign by themselves, above what the other tests use


def free_ports() -> Iterator[int]:
    """Ports that are free now, each once. Each process starts to look elsewhere."""
    start = os.getpid() * 97
    for step in range(len(PORTS)):
        port = PORTS[(start + step) % len(PORTS)]
        if is_free(port):
            yield port
    raise RuntimeError(f"there are no more free ports in {PORTS}")
