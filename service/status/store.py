"""The store of published state: written by the projector, read by the command line. In SQLite or PostgreSQL."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol

import msgspec

from agents.core.registry import Registry
from service.status.rows import StatusRows
from topics.errors import Broken

LISTED_MAX = 200  # runs or timeline entries that one call returns


class TimelineEntry(NamedTuple):
    """A notable transition: its number, its time, the id of the command that caused it, and its event.

    Where a request was accepted: its `request_id`, and the run that it started or was attached to (empty: none yet).
    """

    seq: int
    at: datetime
    cause: str
    event: str
    request_id: str
    run_id: str


class StatusStore(Protocol):
    """The status tables. Raises Retryable and Rejected as a sink does. States are of the installation's kinds."""

    async def prepare(self) -> None:
        """Create the tables, or migrate them to this version."""
        ...

    async def publish(self, rows: StatusRows) -> None:
        """Write the rows that are newer than the stored ones, in one transaction."""
        ...

    async def runs(self, kind: str, name: str = "") -> Sequence[Any]:
        """States of a kind's runs, the newest first: those with this run id, workflow key or request id, or all."""
        ...

    async def children(self, run_id: str) -> Sequence[Any]:
        """States of the runs that a run started, by workflow."""
        ...

    async def timeline(self, workflow: str) -> Sequence[TimelineEntry]:
        """The newest entries first."""
        ...

    async def close(self) -> None: ...


def read_state(registry: Registry, state: str) -> Any:
    try:
        return registry.read_state(state)
    except msgspec.DecodeError as error:
        raise Broken(f"a published state is unreadable ({error}): run the projector's version or a newer one") from None
