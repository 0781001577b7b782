"""A body as a document: its records, its link to the next page and its total. Pure.

What one page of one API may cost is bounded here. A body over WHOLE_BYTES_MAX is taken apart without looking into its
records, which takes a few milliseconds a megabyte; then they are parsed in slices, between which others may work.
"""

from collections.abc import Generator, Sequence
from functools import cache, lru_cache
from typing import Any, NamedTuple

import msgspec

from agents.records.values import KEPT_CHARS_MAX, parse, parse_tolerantly, shown, start
from manifests.entity import Body
from topics.errors import Rejected, Retryable

WHOLE_BYTES_MAX = 256 * 1024  # of a body that is parsed at once
SLICE_BYTES = 256 * 1024  # of records that are parsed at once; one more record of RECORD_TEXT_BYTES_MAX at most
TOLERANT_BYTES_MAX = 8 * 1024 * 1024  # of a body that is parsed tolerantly, at once; a longer one is Retryable
RECORDS_PER_PAGE_MAX = 10_000  # a page with more is rejected
RECORD_TEXT_BYTES_MAX = 4_000_000  # of a record as it was sent; a longer one is rejected, unread
RECORD_VALUES_MAX = 100_000  # of a record in such a body; one with more is rejected, unread: each takes 60 bytes
LINK_CHARS_MAX = 8_000  # of a link to the next page; what servers commonly take as an address
OPENERS_MAX = 1_000  # compiled openers that are kept; the least recently used is compiled again

Path = tuple[str, ...]
_BLANK = msgspec.Raw(b"null")


class Unread(NamedTuple):
    """A record over a bound, in place of what it says. `text` is its beginning."""

    reason: str
    text: str


class Document(NamedTuple):
    """The parts of a page. `is_suspect`: records may hold what a database cannot; each is checked value by value."""

    records: list[Any]
    next: str | None
    total: Any
    is_suspect: bool


class DocumentReader:
    """Documents of one API: where a body has their parts.

    A list that is left out because it is empty is an empty list: the total is 0 or, of an API without totals, nothing
    else is in the document (`{}`, `{"data": null}`). `is_one`: there is a record in place of the list, or null.
    """

    def __init__(self, body: Body, is_one: bool = False) -> None:
        self._is_one = is_one
        self._records = path_of(body.records)
        self._next = path_of(body.next)
        self._total = path_of(body.total)

    def read(self, body: bytes) -> Generator[None, None, Document]:
        """Yields where others may work. Retryable if the body is no page, Rejected if it is one over a bound."""
        if self._is_one:
            return self._single(body)
        document, is_suspect = parse(body) if len(body) <= WHOLE_BYTES_MAX else self._apart(body)
        found = dig(document, self._records)
        total = dig(document, self._total) if self._total else None
        if found is None and (total == 0 if self._total else _is_left_out(document, self._records)):
            found = []
        if type(found) is not list:
            raise Retryable(
                f"the answer has no list of records at {'.'.join(self._records)}: it starts with {start(body)}"
            )
        if len(found) > RECORDS_PER_PAGE_MAX:
            raise Rejected(
                f"the answer has more than {RECORDS_PER_PAGE_MAX:,} records at {'.'.join(self._records)}: make "
                "paging.size in the manifest smaller, or have the API heed it"
            )
        link = self._link(document)
        if found and type(found[0]) is msgspec.Raw:
            found, is_suspect = yield from _records(found)
        return Document(found, link, total, is_suspect)

    def _single(self, body: bytes) -> Document:
        if len(body) > RECORD_TEXT_BYTES_MAX:
            raise Rejected(
                f"the answer has {len(body):,} bytes for one record, at most {RECORD_TEXT_BYTES_MAX:,} are read"
            )
        document, is_suspect = parse(body)
        found = dig(document, self._records)
        if type(found) is not dict and not _is_null(document, self._records):
            raise Retryable(f"the answer has no record at {'.'.join(self._records)}: it starts with {start(body)}")
        return Document([] if found is None else [found], None, None, is_suspect)

    def _link(self, document: Any) -> str | None:
        found = dig(document, self._next) if self._next else None
        if found is None or found == "":
            return None
        if type(found) is not str or not found.isprintable():
            raise Retryable(f"the answer's {'.'.join(self._next)} is not a link: {shown(found)}")
        if len(found) > LINK_CHARS_MAX:
            raise Rejected(
                f"the answer's link to the next page has {len(found):,} characters, at most {LINK_CHARS_MAX:,} are "
                f"followed: it starts with {shown(found)}"
            )
        return found

    def _apart(self, body: bytes) -> tuple[Any, bool]:
        """The document without what no path leads to, its records unread, and whether it is suspect."""
        paths = [path for path in (self._records, self._next, self._total) if path]
        try:
            return _opened(body, paths, self._records), False
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            if len(body) > TOLERANT_BYTES_MAX:
                raise Retryable(
                    f"the answer is not JSON, or holds a number or text out of range, and its {len(body):,} bytes are "
                    f"too many to find out where (at most {TOLERANT_BYTES_MAX:,}): it starts with {start(body)}"
                ) from None
            return parse_tolerantly(body), True


def _is_left_out(document: Any, path: Path) -> bool:
    """Whether the document holds nothing but the way to a list of records, and there null or nothing."""
    for field in path:
        if type(document) is not dict or document.keys() - {field}:
            return False
        document = document.get(field)
        if document is None:
            return True
    return False


def _is_null(document: Any, path: Path) -> bool:
    """Whether null stands at the path."""
    above = dig(document, path[:-1])
    return type(above) is dict and path[-1] in above and above[path[-1]] is None


def path_of(dotted: str | None) -> Path:
    return tuple(dotted.split(".")) if dotted else ()


def dig(value: Any, path: Path) -> Any:
    for field in path:
        if type(value) is not dict:
            return None
        value = value.get(field)
    return value


def _opened(raw: bytes | msgspec.Raw, paths: Sequence[Path], records: Path | None) -> Any:
    """What stands at the paths, in dictionaries; at `records` a list of what is not read yet.

    None for what is no object within a path.
    """
    if not all(paths):
        return _list_or_none(raw) if records == () else _decoded(raw)
    names = tuple(sorted({path[0] for path in paths}))
    try:
        opened = _opener(names)(raw)
    except msgspec.ValidationError:  # no object
        return None
    inner: dict[str, Any] = {}
    for name, value in zip(names, msgspec.structs.astuple(opened), strict=True):
        behind = [path[1:] for path in paths if path[0] == name]
        inner[name] = _opened(value, behind, records[1:] if records and records[0] == name else None)
    return inner


@lru_cache(maxsize=OPENERS_MAX)
def _opener(names: tuple[str, ...]) -> Any:
    """Decodes an object's fields of these names, unread."""
    fields = [(f"field{number}", msgspec.Raw, _BLANK) for number in range(len(names))]
    rename = {f"field{number}": name for number, name in enumerate(names)}
    return msgspec.json.Decoder(msgspec.defstruct("Opened", fields, rename=rename)).decode


def _list_or_none(raw: bytes | msgspec.Raw) -> list[msgspec.Raw] | None:
    """The list's elements, unread, and of those over RECORDS_PER_PAGE_MAX only one."""
    try:
        opened = _list_opener()(raw)
    except msgspec.ValidationError:
        return None
    return [one for one in msgspec.structs.astuple(opened) if one is not _BLANK]


@cache
def _list_opener() -> Any:
    """Decodes a list as a struct with a field for each record: what has no field any more is skipped, not created."""
    fields = [(f"field{number}", msgspec.Raw, _BLANK) for number in range(RECORDS_PER_PAGE_MAX + 1)]
    return msgspec.json.Decoder(msgspec.defstruct("OpenedList", fields, array_like=True)).decode


def _decoded(raw: bytes | msgspec.Raw) -> Any:
    """A link or a total. Rejected if it is too large to be one: read as none, it would end a collection."""
    size = len(memoryview(raw))
    if size > WHOLE_BYTES_MAX:
        raise Rejected(f"the answer's link to the next page, or its total, has {size:,} bytes: it is neither")
    return msgspec.json.decode(raw)


def _records(raw: list[msgspec.Raw]) -> Generator[None, None, tuple[list[Any], bool]]:
    """The records, and whether one had to be parsed tolerantly. Yields where others may work."""
    records: list[Any] = []
    is_suspect, left = False, SLICE_BYTES
    for one in raw:
        left -= len(memoryview(one))
        record, is_tolerant = _record(one)
        records.append(record)
        is_suspect = is_suspect or is_tolerant
        if left <= 0:
            yield
            left = SLICE_BYTES
    return records, is_suspect


def _record(raw: msgspec.Raw) -> tuple[Any, bool]:
    """The record, and whether it had to be parsed tolerantly."""
    text = bytes(raw)
    values = text.count(b",") + text.count(b"[") + text.count(b"{")
    if len(text) > RECORD_TEXT_BYTES_MAX or values > RECORD_VALUES_MAX:
        reason = (
            f"the record was sent as {len(text):,} bytes with about {values:,} values, at most "
            f"{RECORD_TEXT_BYTES_MAX:,} and {RECORD_VALUES_MAX:,} are read"
        )
        return Unread(reason, text[:KEPT_CHARS_MAX].decode(errors="replace")), False
    return parse(text)
