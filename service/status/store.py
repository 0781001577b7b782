"""Reading and writing published state, on SQLite and on PostgreSQL."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, Protocol, TypeVar

import msgspec

from service.status.rows import StatusRows
from tables.kinds.entity import EntityState
from tables.kinds.sync import SyncState
from topics.errors import Broken

S = TypeVar("S")


class Published(NamedTuple):
    """A state as the journal told it last."""

    state: SyncState
    seq: int


class PublishedEntity(NamedTuple):
    state: EntityState
    seq: int


class TimelineEntry(NamedTuple):
    """A notable transition: its number, its time, the id of the command that caused it, what happened."""

    seq: int
    at: datetime
    cause: str
    note: str


class StatusStore(Protocol):
    """The status tables. Retryable and Rejected as of a sink."""

    async def prepare(self) -> None:
        """Create the tables, or bring them up to this version."""
        ...

    async def publish(self, rows: StatusRows) -> None:
        """Write what is newer than what is there, in one transaction."""
        ...

    async def syncs(self, name: str = "") -> Sequence[Published]:
        """Runs with this run id, workflow key or request id, the newest first; without a name the newest of all."""
        ...

    async def entities(self, sync_run_id: str) -> Sequence[PublishedEntity]: ...

    async def timeline(self, workflow: str) -> Sequence[TimelineEntry]:
        """The newest first."""
        ...

    async def close(self) -> None: ...


_SYNC = msgspec.json.Decoder(SyncState)
_ENTITY = msgspec.json.Decoder(EntityState)


def read_sync(state: str, seq: int) -> Published:
    return Published(_read(_SYNC, state), seq)


def read_entity(state: str, seq: int) -> PublishedEntity:
    return PublishedEntity(_read(_ENTITY, state), seq)


def _read(decoder: msgspec.json.Decoder[S], state: str) -> S:
    try:
        return decoder.decode(state)
    except msgspec.DecodeError as error:
        raise Broken(f"a published state cannot be read ({error}): is this program older than the projector?") from None
