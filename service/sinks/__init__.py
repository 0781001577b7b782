"""Where rows go: the Sink of agents.ports on SQLite and on PostgreSQL, chosen by the address."""

from pathlib import Path

from agents.ports import Sink
from service.clock import Clock
from service.sinks.postgres.sink import PostgresSink
from service.sinks.sqlite.sink import SqliteSink
from topics.errors import Rejected

SQLITE_SCHEME = "sqlite:///"
POSTGRES_SCHEMES = ("postgresql://", "postgres://")


def open_sink(url: str, clock: Clock) -> Sink:
    """The sink at an address, not yet connected; to be called where an event loop runs. Rejected for any other address.

    sqlite:///PATH is relative to the working directory, sqlite:////PATH absolute.
    """
    if url.startswith(SQLITE_SCHEME) and len(url) > len(SQLITE_SCHEME):
        return SqliteSink(Path(url.removeprefix(SQLITE_SCHEME)).expanduser(), clock)
    if url.startswith(POSTGRES_SCHEMES):
        return PostgresSink(url, clock)
    scheme = url.partition(":")[0]
    raise Rejected(
        f"SLUICE_SINK has an address of kind {scheme!r}: it must be sqlite:///PATH or "
        "postgresql://USER:PASSWORD@HOST/DATABASE"
    )
