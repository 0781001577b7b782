"""The table: one, keyed by workflow, holding every kind of workflow's record."""

import msgspec

from tables.kinds.entity import EntityState
from tables.kinds.sync import SyncState
from tables.row import Row, decode_row

State = SyncState | EntityState
_DECODER: msgspec.json.Decoder[Row[State]] = msgspec.json.Decoder(Row[State])


def read_row(value: bytes) -> Row[State]:
    """A workflow's record as it stands in the store or in the changelog."""
    return decode_row(value, _DECODER)
