"""A page of an API, as bytes, to rows: typed values, canonical text, content hash. Pure; it runs for every record.

A record that cannot be a row is rejected with its reason, and its page is committed without it. A body that is no page
at all is Retryable: half a response or a proxy's HTML page is a passing fault.

A key is text. Where the manifest says `key_type: integer` it is a whole number, stored as its digits. The other type
is rejected: `1` and `"1"` would be one row. The key's parts, and in front of them the parent's key where the manifest
says `under.key`, are joined by ":"; in a key of several, ":" and "%" are percent-encoded, so that none collide.

Canonical JSON, the definition: keys sorted at every level, no spaces, UTF-8 unescaped, the last of duplicate keys.
`RowWrite.raw` is the canonical JSON of the record. `content_hash` covers all that is stored (see `_content_hash`).
"""

from bisect import bisect_right
from collections.abc import Callable, Generator, Mapping
from datetime import datetime
from hashlib import blake2b
from typing import Any, NamedTuple

from agents.ports import EVERYTHING, Cut, PageBody, RejectedRecord, RowWrite
from agents.records.document import Document, DocumentReader, Unread, dig, path_of
from agents.records.position import positions
from agents.records.values import (
    CONVERT,
    CONVERTER_VERSION,
    INTEGER_MAX,
    NESTING_MAX,
    InvalidValue,
    check_nesting,
    check_storable,
    encode,
    shown,
    storable_text,
)
from manifests.entity import AdapterFile, Entity, FieldType, columns, is_one

RECORD_BYTES_MAX = 1_000_000  # canonical JSON of one record; a longer one is rejected
KEY_CHARS_MAX = 500  # an index entry of PostgreSQL takes about 2,700 bytes; a longer key is rejected
SLICE_RECORDS = 250  # that are read at once
READERS_MAX = 1_000  # compiled entities that are kept; at the maximum all are compiled anew

HASH_BYTES = 16
Places = tuple[str | None, str | None, str | None]
_NOTHING: Mapping[str, Any] = {}
_NOWHERE: Places = (None, None, None)


def read_page(body: bytes, adapter: AdapterFile, entity: Entity, parent: str = "", cut: Cut = EVERYTHING) -> PageBody:
    """The rows of one page, read at once: see `reading`."""
    steps = reading(body, adapter, entity, parent, cut)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            page: PageBody = end.value
            return page


def reading(
    body: bytes, adapter: AdapterFile, entity: Entity, parent: str = "", cut: Cut = EVERYTHING
) -> Generator[None, None, PageBody]:
    """The rows of one page, and the records that cannot be rows, in steps of a few milliseconds. `parent` is the key of
    the row it was read under.

    Retryable if the body is not JSON or has no list of records where the adapter says, Rejected if it is over a bound.
    A list that is left out because it is empty is an empty list (agents.records.document).
    """
    key = (id(adapter), id(entity))
    reader = _readers.get(key)
    if reader is None:
        if len(_readers) >= READERS_MAX:
            _readers.clear()
        reader = _readers[key] = RecordReader(adapter, entity)
    return reader.read(body, parent, cut)


class _Column(NamedTuple):
    name: str
    holder: int  # the object that has it: an index into the record's opened objects
    field: str
    convert: Callable[[Any], object]
    is_required: bool


class RecordReader:
    """One entity's records, compiled: which objects of a record to open, and what to take from each."""

    def __init__(self, adapter: AdapterFile, entity: Entity) -> None:
        self._of = (adapter, entity)  # held, so that their ids stay theirs while this reader is cached
        self._documents = DocumentReader(adapter.body, is_one(entity))
        self._key_paths = tuple(path_of(key) for key in entity.key)
        self._key_type: type = int if entity.key_type == "integer" else str
        self._is_under = entity.under is not None
        self._is_parent_in_key = entity.under is not None and entity.under.key
        is_plain = len(entity.key) == len(self._key_paths[0]) == 1 and not self._is_parent_in_key
        self._plain_key = entity.key[0] if is_plain and self._key_type is str else None
        self._specification = _specification(entity)
        self._order = entity.reads.full.order
        self._holders: list[tuple[int, str]] = []
        self._holder_of: dict[tuple[str, ...], int] = {(): 0}
        required = {name for name, reference in entity.references.items() if reference.required}
        self._columns = [
            self._column(spec.name, spec.source, spec.type, spec.name in required)
            for spec in columns(entity)
            if spec.source
        ]
        self._change_at = _change_column(entity)
        self._has_time = entity.updated_at is not None
        if entity.updated_at is not None:
            self._columns.append(self._column("updated_at", entity.updated_at, "timestamp", False))

    def read(self, body: bytes, parent: str, cut: Cut) -> Generator[None, None, PageBody]:
        document = yield from self._documents.read(body)
        blank = _content_hash(self._specification, parent)
        wanted, (first, last, behind) = self._placed(document, parent, cut)
        rows: list[RowWrite] = []
        rejected: list[RejectedRecord] = []
        for begin in range(0, len(wanted), SLICE_RECORDS):
            if begin:
                yield
            for record in wanted[begin : begin + SLICE_RECORDS]:
                found = self._read_record(record, parent, blank, document.is_suspect)
                if isinstance(found, RowWrite):
                    rows.append(found)
                else:
                    rejected.append(found)
        total, records = _count(document.total), len(document.records)
        changes = self._changes(rows)
        oldest, newest = min(changes, default=None), max(changes, default=None)
        return PageBody(
            tuple(rows), tuple(rejected), document.next, total, records, first, last, behind,
            oldest=oldest, newest=newest,
        )  # fmt: skip

    def _changes(self, rows: list[RowWrite]) -> list[datetime]:
        """When the rows' records changed, of an entity that can be read by its changes."""
        place = self._change_at
        if place is None:
            return []
        found: list[Any] = [row.updated_at if place < 0 else row.values[place] for row in rows]
        return [at for at in found if at is not None]

    def _placed(self, document: Document, parent: str, cut: Cut) -> tuple[list[Any], Places]:
        """The records that are wanted, and where the page begins and ends, and behind which record they begin."""
        records = document.records
        if not records:
            return records, _NOWHERE
        if self._order is None:
            first, last = (self._key_or_none(one, parent, document.is_suspect) for one in (records[0], records[-1]))
            return records, (first, last, None)
        found = positions(records, self._order)
        if found is None:
            return records, _NOWHERE
        begin = min(cut.overlap, len(found))
        if cut.after is not None:
            begin = max(bisect_right(found, cut.after), min(begin, 1))
        end = bisect_right(found, cut.before) if cut.before is not None else len(found)
        return records[begin:end], (found[0], found[-1], found[max(begin - 1, 0)])

    def _read_record(self, record: Any, parent: str, blank: blake2b, is_suspect: bool) -> RowWrite | RejectedRecord:
        key = ""
        try:
            if type(record) is not dict:
                return _no_object(record)
            found = self._key(record, parent)
            if is_suspect:
                check_storable(found)
            key = found
            if is_suspect:
                check_storable(record)
            values, updated_at = self._values(record, parent)
            raw = encode(record)
            # Few brackets are few levels. bytes.count takes twice as long, for every record.
            if len(raw) - len(raw.replace(b"{", b"").replace(b"[", b"")) > NESTING_MAX:
                check_nesting(record)
            if len(raw) > RECORD_BYTES_MAX:
                raise InvalidValue(f"the record has {len(raw)} bytes, at most {RECORD_BYTES_MAX}")
        except InvalidValue as invalid:
            return RejectedRecord(key, str(invalid), storable_text(record))
        content_hash = blank.copy()  # cheaper than a new one with its arguments
        content_hash.update(raw)
        return RowWrite(key, values, raw.decode(), content_hash.digest(), updated_at)

    def _key(self, record: dict[str, Any], parent: str) -> str:
        if self._plain_key is not None:
            plain = record.get(self._plain_key)
            if type(plain) is str and 0 < len(plain) <= KEY_CHARS_MAX:
                return plain
        parts = [parent] if self._is_parent_in_key else []
        parts += [self._key_part(dig(record, path), path) for path in self._key_paths]
        if len(parts) > 1:
            parts = [part.replace("%", "%25").replace(":", "%3A") for part in parts]
        key = ":".join(parts)
        if len(key) > KEY_CHARS_MAX:
            raise InvalidValue(f"key: {len(key)} characters, at most {KEY_CHARS_MAX} ({shown(key)})")
        return key

    def _key_or_none(self, record: Any, parent: str, is_suspect: bool) -> str | None:
        try:
            key = self._key(record, parent) if type(record) is dict else None
            if is_suspect:
                check_storable(key)
        except InvalidValue:
            return None
        return key

    def _key_part(self, value: Any, path: tuple[str, ...]) -> str:
        if type(value) is self._key_type and value != "":
            return str(value)
        wanted = "text" if self._key_type is str else "a whole number"
        raise InvalidValue(f"key: {'.'.join(path)} is not {wanted}, as the manifest's key_type says ({shown(value)})")

    def _values(self, record: dict[str, Any], parent: str) -> tuple[tuple[object, ...], datetime | None]:
        """The typed values in the order of the entity's columns, and the source's own time."""
        opened: list[Mapping[str, Any]] = [record]
        for holder, field in self._holders:
            value = opened[holder].get(field)
            opened.append(value if type(value) is dict else _opened(value, field))
        values: list[Any] = []
        for name, holder, field, convert, is_required in self._columns:
            value = opened[holder].get(field)
            if value is not None:
                try:
                    value = convert(value)
                except InvalidValue as invalid:
                    raise InvalidValue(f"{name}: {invalid} ({shown(value)})") from None
            elif is_required:
                raise InvalidValue(f"{name}: required, but the record has none")
            values.append(value)
        updated_at: Any = values.pop() if self._has_time else None
        return (parent, *values) if self._is_under else tuple(values), updated_at

    def _column(self, name: str, source: str, type_: FieldType, is_required: bool) -> _Column:
        *outer, field = source.split(".")
        return _Column(name, self._holder(tuple(outer)), field, CONVERT[type_], is_required)

    def _holder(self, path: tuple[str, ...]) -> int:
        if path not in self._holder_of:
            self._holders.append((self._holder(path[:-1]), path[-1]))
            self._holder_of[path] = len(self._holders)
        return self._holder_of[path]


_readers: dict[tuple[int, int], RecordReader] = {}


def _no_object(record: Any) -> RejectedRecord:
    if isinstance(record, Unread):
        return RejectedRecord("", record.reason, record.text)
    return RejectedRecord("", f"the record is not an object ({shown(record)})", storable_text(record))


def _count(total: Any) -> int | None:
    return total if type(total) is int and 0 <= total <= INTEGER_MAX else None


def _opened(value: Any, field: str) -> Mapping[str, Any]:
    """What an absent or non-object value is read as: None if it is absent."""
    if value is None:
        return _NOTHING
    raise InvalidValue(f"{field}: not an object ({shown(value)})")


def _change_column(entity: Entity) -> int | None:
    """Which of a row's values says when its record changed; -1: the source's own time."""
    delta = entity.reads.delta
    if delta is None or delta.field == entity.updated_at:
        return -1 if delta else None
    return next(n for n, one in enumerate(columns(entity)) if (one.source, one.type) == (delta.field, "timestamp"))


def _specification(entity: Entity) -> bytes:
    """Digest of how a record becomes a row: a changed column, or another converter, makes all rows different ones.

    BLAKE2b over the canonical JSON of [converter's version, [[name, type, path] of each column], path of the time].
    """
    specification = [CONVERTER_VERSION, columns(entity), entity.updated_at]
    return blake2b(encode(specification), digest_size=HASH_BYTES).digest()


def _content_hash(specification: bytes, parent: str) -> blake2b:
    """The hash of nothing yet. It is BLAKE2b over a record's canonical JSON, personalised by its entity's
    specification; below a parent, salted with the digest of the parent's key: the same content under another parent is
    another row.
    """
    salt = blake2b(parent.encode(), digest_size=HASH_BYTES).digest() if parent else b""
    return blake2b(digest_size=HASH_BYTES, person=specification, salt=salt)
