"""Where rows go: the Sink of agents.ports on SQLite and on PostgreSQL, chosen by the address."""

from agents.ports import Sink
from service.clock import Clock
from service.sinks.address import sqlite_path
from service.sinks.postgres.sink import PostgresSink
from service.sinks.sqlite.sink import SqliteSink


def open_sink(url: str, clock: Clock) -> Sink:
    """The sink at an address, not yet connected; to be called where an event loop runs. Rejected: no such address."""
    path = sqlite_path(url)
    return PostgresSink(url, clock) if path is None else SqliteSink(path, clock)
