"""Published state: the journal in tables, read by people and the command line. Written by the projector alone."""

from agents.core.registry import Registry
from agents.kinds import SHIPPED
from service.clock import Clock
from service.settings import Settings
from service.sinks import sqlite_path
from service.status.store import StatusStore


def open_status(settings: Settings, clock: Clock, registry: Registry = SHIPPED) -> StatusStore:
    """The status tables in the sink's database. To be called in a running event loop."""
    path = sqlite_path(settings.sink)
    if path is not None:
        from service.status.sqlite import SqliteStatus  # here and below: an installation needs one driver only

        return SqliteStatus(path, clock, registry)
    from service.status.postgres import PostgresStatus

    return PostgresStatus(settings.sink, clock, registry)
