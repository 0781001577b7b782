"""What an engine has published: the rows, states and timelines that people and the command line read."""

from collections import defaultdict
from pathlib import Path
from typing import Any

from agents.kinds import ENTITY
from service.clock import SystemClock
from service.status.rows import StatusRows
from service.status.sqlite import SqliteStatus
from service.status.store import TimelineEntry
from tables.row import Row, encode_row
from tests.engine.broker import LogRecord
from tests.engine.engine import Engine
from topics.catalog import CHANGELOG


def journal_record(row: Row[Any]) -> LogRecord:
    """A workflow's record as the journal has it."""
    return LogRecord(CHANGELOG, 0, 0, 0, row.state.key.encode() if row.state else b"", encode_row(row), ())


def published_states(engine: Engine, kind: str = ENTITY.name) -> tuple[Any, ...]:
    """States of the runs of a kind."""
    rows = [row for row in engine.published.runs.values() if row["kind"] == kind]
    return tuple(engine.registry.read_state(str(row["state"])) for row in rows)


def published_timelines(engine: Engine) -> dict[str, list[TimelineEntry]]:
    """By workflow."""
    found: defaultdict[str, list[TimelineEntry]] = defaultdict(list)
    for workflow, at, seq, *rest in engine.published.timeline:
        entry: Any = (seq, at, *rest, "")
        found[str(workflow)].append(TimelineEntry(*entry))
    return found


async def publish(engine: Engine, path: Path) -> SqliteStatus:
    """The same in a SQLite file."""
    store = SqliteStatus(path, SystemClock(), engine.registry)
    await store.prepare()
    runs = tuple(tuple(row.values()) for row in engine.published.runs.values())
    await store.publish(StatusRows(runs, tuple(engine.published.timeline)), 1)
    return store
