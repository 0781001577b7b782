"""Rows in the binary format of COPY, which PostgreSQL's manual describes under "COPY"; values as of the types' send
functions. It takes a third of the time of the driver's encoder, since most fields of a page's rows are the same.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime
from functools import lru_cache
from operator import itemgetter
from struct import Struct, error
from typing import Any

from agents.ports import PageWrite
from manifests.entity import FieldType
from service.sinks.schema import EntityTable

Encode = Callable[[Any], bytes]

TABLES_CACHED_MAX = 300
_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"
_NULL = b"\xff\xff\xff\xff"
_JSONB_VERSION = 1
_EPOCH, _DAY = datetime(2000, 1, 1, tzinfo=UTC), date(2000, 1, 1)

_length = Struct(">i").pack
_fields = Struct(">h").pack
_bytes8 = Struct(">iq").pack
_double = Struct(">id").pack
_bytes4 = Struct(">ii").pack
_jsonb = Struct(">ib").pack


class UnencodableValue(Exception):
    """A value that its column cannot hold: text that is not Unicode, a number beyond 64 bits."""


def copy_rows(pages: Sequence[PageWrite], table: EntityTable) -> bytes:
    """Input of COPY ... FROM STDIN (FORMAT binary), for the table's column_names. Raises UnencodableValue."""
    try:
        return b"".join((_HEADER, *_rows(pages, table), _TRAILER))
    except (UnicodeError, error) as problem:
        raise UnencodableValue(str(problem)) from None


def _rows(pages: Sequence[PageWrite], table: EntityTable) -> Iterator[bytes]:
    """Sorted by primary key, in the order in which every writer locks rows: code points sort like collation "C". A key
    that several pages have is the same row in each (service.sinks.repeats), and sent once.
    """
    encoders = _encoders(table)
    with_fields = ((page, _PageFields(page, table)) for page in pages)
    keyed = [(page.run.org, row.key, row, fields) for page, fields in with_fields for row in page.rows]
    last = ("", "")
    for org, name, row, fields in sorted(keyed, key=itemgetter(0, 1)):
        if (org, name) == last:
            continue
        last = (org, name)
        key, raw = row.key.encode(), row.raw.encode()
        yield fields.before
        yield _length(len(key))
        yield key
        for encode, value in zip(encoders, row.values, strict=True):
            yield _NULL if value is None else encode(value)
        yield _jsonb(len(raw) + 1, _JSONB_VERSION)
        yield raw
        yield _length(len(row.content_hash))
        yield row.content_hash
        yield fields.after
        yield _NULL if row.updated_at is None else _timestamp(row.updated_at)


class _PageFields:
    """The encoded fields that are equal in all rows of a page: those before the key, and those after the hash."""

    __slots__ = ("after", "before")

    def __init__(self, page: PageWrite, table: EntityTable) -> None:
        run = page.run
        self.before = _fields(len(table.column_names)) + _text(run.org)
        self.after = b"".join((_text(run.type), _text(run.id), _integer(page.page), _timestamp(page.fetched_at)))


def _text(value: str) -> bytes:
    encoded = value.encode()
    return _length(len(encoded)) + encoded


def _integer(value: int) -> bytes:
    return _bytes8(8, value)


def _number(value: float) -> bytes:
    return _double(8, value + 0.0)  # -0.0 becomes 0, as in the upsert path


def _boolean(value: bool) -> bytes:
    return b"\0\0\0\1\1" if value else b"\0\0\0\1\0"


def _timestamp(value: datetime) -> bytes:
    since = value - _EPOCH
    return _bytes8(8, (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds)


def _date(value: date) -> bytes:
    return _bytes4(4, (value - _DAY).days)


def _json(value: str) -> bytes:
    encoded = value.encode()
    return _jsonb(len(encoded) + 1, _JSONB_VERSION) + encoded


_ENCODERS: dict[FieldType, Encode] = {
    "text": _text,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "timestamp": _timestamp,
    "date": _date,
    "json": _json,
}


@lru_cache(maxsize=TABLES_CACHED_MAX)
def _encoders(table: EntityTable) -> tuple[Encode, ...]:
    return tuple(_ENCODERS[column.type] for column in table.columns)
