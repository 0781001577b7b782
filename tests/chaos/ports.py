"""Ports for servers that must be told theirs before they start."""

import os
import socket
from collections.abc import Iterator

PORTS = range(30_000, 32_700)  # below what systems hand out by themselves, above what the other tests use


def free_ports() -> Iterator[int]:
    """Ports that are free now, each once. Each process starts to look elsewhere."""
    start = os.getpid() * 97
    for step in range(len(PORTS)):
        port = PORTS[(start + step) % len(PORTS)]
        if _is_free(port):
            yield port
    raise RuntimeError(f"there are no more free ports in {PORTS}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
