"""Sinks: the Sink of agents.ports in SQLite and in PostgreSQL, chosen by the address."""

from pathlib import Path

from service.clock import Clock
from service.sinks.sink import SqlSink
from topics.errors import Rejected

_SQLITE = "sqlite:///"
_POSTGRES = ("postgresql://", "postgres://")


def open_sink(url: str, clock: Clock) -> SqlSink:
    """The sink at an address, not yet connected. To be called in a running event loop. Rejected: another address."""
    path = sqlite_path(url)
    if path is not None:
        from service.sinks.sqlite.sink import SqliteSink  # here and below: an installation needs one driver only

        return SqliteSink(path, clock)
    from service.sinks.postgres.sink import PostgresSink

    return PostgresSink(url, clock)


def sqlite_path(url: str) -> Path | None:
    """The file of a SQLite address, None for a PostgreSQL one. Rejected for any other.

    sqlite:///PATH is relative to the working directory, sqlite:////PATH absolute.
    """
    if url.startswith(_SQLITE) and len(url) > len(_SQLITE):
        return Path(url.removeprefix(_SQLITE)).expanduser()
    if url.startswith(_POSTGRES):
        return None
    scheme = url.partition(":")[0]
    raise Rejected(
        f"SLUICE_SINK has an address of kind {scheme!r}: it must be sqlite:///PATH or "
        "postgresql://USER:PASSWORD@HOST/DATABASE"
    )
