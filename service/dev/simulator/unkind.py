"""Unkind listings: how APIs page otherwise than one expects, each kind as a change of what a listing shows.

A change is made before, to the query that selects the page's records, or after, to the document. Several add up, in
the order in which they stand at the end of this module. Three change which records there are, and how they are ordered.
"""

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice, product
from string import ascii_letters, digits
from types import SimpleNamespace
from typing import Any
from zlib import crc32

import msgspec

from service.dev.simulator.faults import FaultSpec, UnkindKind
from service.dev.simulator.query import Query
from service.dev.simulator.record import Record
from service.dev.simulator.selection import Selection, Test

SIZES: dict[str, int] = {  # where the fault names none
    "capped_pages": 50,  # records
    "short_page": 50,  # records
    "over_claimed_total": 100,  # records too many
    "link_cycle": 3,  # pages
    "long_link": 1_200_000,  # characters
    "many_records": 2_200_000,  # in 31 MB
    "unlisted": 50,  # of each hundred records
}
CURSOR, PAGE_TOKEN = "after", "page_token"  # names of parameters
ELSEWHERE = "http://elsewhere.example"
TINY_ID_CHARS = 4

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Listed:
    """A listing as it was asked for, the window of it that is shown, and the document about to be sent."""

    asked: Query
    window: Query
    shown: Sequence[Record]
    document: Json

    @property
    def next_offset(self) -> int:
        return self.asked.offset + self.window.per_page

    @property
    def has_next(self) -> bool:
        return "next" in self.document["links"]

    def lead_to(self, **parameters: int | str) -> None:
        """Have the link to the next page name these parameters."""
        base = self.document["links"]["self"].partition("?")[0]
        self.document["links"]["next"] = f"{base}?{self.asked.text(**parameters)}"
        if "offset" in parameters:
            self.document["meta"]["next"] = {"offset": parameters["offset"]}

    def forget_offsets(self) -> None:
        """Have nothing say that pages have offsets."""
        self.document["links"].pop("prev", None)
        self.document["meta"].pop("prev", None)
        self.document["meta"].pop("next", None)


def heeded(query: Query, faults: Sequence[FaultSpec]) -> Query:
    """The query without what the API ignores in it. Links still name everything that was asked for."""
    kinds = {fault.kind for fault in faults}
    if "ignores_filters" in kinds:
        query = replace(query, where=(), filters=())
    return replace(query, order=()) if "ignores_order" in kinds else query


def listed(selection: Selection, faults: Sequence[FaultSpec]) -> Selection:
    """The selection without what is not listed: always the same records, by their ids."""
    for fault in faults:
        if fault.kind == "unlisted":
            selection = selection.narrowed(_is_listed(_size(fault)))
    return selection


def window_of(query: Query, selection: Selection, faults: Sequence[FaultSpec]) -> Query:
    """The query with the offset and the number of records that the API makes of it."""
    for kind, change in _BEFORE.items():
        for fault in faults:
            if fault.kind == kind:
                query = change(query, selection, _size(fault))
    return query


def change_document(listed: Listed, faults: Sequence[FaultSpec]) -> None:
    for kind, change in _AFTER.items():
        for fault in faults:
            if fault.kind == kind:
                change(listed, _size(fault))


def _is_listed(percent_unlisted: int) -> Test:
    return lambda record: crc32(record.id.encode()) % 100 >= percent_unlisted


def _size(fault: FaultSpec) -> int:
    return fault.size or SIZES.get(fault.kind, 0)


def _cap(query: Query, selection: Selection, size: int) -> Query:
    return replace(query, per_page=min(query.per_page, size))


def _begin(query: Query, selection: Selection, size: int) -> Query:
    return replace(query, offset=0)


def _clamp(query: Query, selection: Selection, size: int) -> Query:
    per_page = max(1, query.per_page)
    return replace(query, offset=min(query.offset, max(0, len(selection) - 1) // per_page * per_page))


def _behind_cursor(query: Query, selection: Selection, size: int) -> Query:
    """Keyset paging: behind where the last record of the page before stands or would stand."""
    values = _opened(query, CURSOR)
    if not isinstance(values, dict):
        return query
    last = Record(values.pop("id"), "", SimpleNamespace(**values), {})
    return replace(query, offset=selection.behind(last))


def _at_token(query: Query, selection: Selection, size: int) -> Query:
    offset = _opened(query, PAGE_TOKEN)
    return replace(query, offset=offset) if isinstance(offset, int) else query


def _empty(listed: Listed, size: int) -> None:
    listed.document["data"] = []
    listed.document["meta"]["count"] = 0


def _shorten(listed: Listed, size: int) -> None:
    del listed.document["data"][size:]
    listed.document["meta"]["count"] = len(listed.document["data"])


def _lead_on(listed: Listed, size: int) -> None:
    listed.lead_to(offset=listed.next_offset)


def _lead_in_a_cycle(listed: Listed, size: int) -> None:
    listed.lead_to(offset=listed.next_offset % (size * max(1, listed.window.per_page)))


def _lead_by_cursor(listed: Listed, size: int) -> None:
    listed.forget_offsets()
    if listed.has_next:
        last, names = listed.shown[-1], [name.removeprefix("-") for name in listed.asked.order]
        values = {name: getattr(last.attributes, name) for name in names if hasattr(last.attributes, name)}
        listed.lead_to(**{CURSOR: _sealed(values | {"id": last.id})})


def _lead_by_token(listed: Listed, size: int) -> None:
    listed.forget_offsets()
    if listed.has_next:
        listed.lead_to(**{PAGE_TOKEN: _sealed(listed.window.offset + listed.window.per_page)})


def _lead_elsewhere(listed: Listed, size: int) -> None:
    if listed.has_next:
        link = listed.document["links"]["next"].partition("://")[2]
        listed.document["links"]["next"] = ELSEWHERE + link[link.index("/") :]


def _lengthen_link(listed: Listed, size: int) -> None:
    if listed.has_next:
        listed.document["links"]["next"] += "&padding=" + "x" * size


def _lead_nowhere(listed: Listed, size: int) -> None:
    listed.document["links"].pop("next", None)
    listed.document["meta"].pop("next", None)


def _leave_total_out(listed: Listed, size: int) -> None:
    listed.document["meta"].pop("total_count", None)


def _claim_more(listed: Listed, size: int) -> None:
    listed.document["meta"]["total_count"] += size


def _leave_all_out(listed: Listed, size: int) -> None:
    listed.document.clear()


def _have_no_list(listed: Listed, size: int) -> None:
    listed.document["data"] = None


def _crowd(listed: Listed, size: int) -> None:
    listed.document["data"] = _tiny_records(size)


@lru_cache(maxsize=1)
def _tiny_records(count: int) -> msgspec.Raw:
    ids = islice(product(ascii_letters + digits, repeat=TINY_ID_CHARS), count)
    return msgspec.Raw(b"[" + ",".join(f'{{"id":"{"".join(id)}"}}' for id in ids).encode() + b"]")


def _sealed(value: object) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(value)).decode()


def _opened(query: Query, name: str) -> Any:
    """None if the query has no such token, or one that is not ours."""
    token = dict(query.pairs).get(name, "")
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(token))
    except (binascii.Error, ValueError, msgspec.DecodeError):
        return None


_BEFORE: dict[UnkindKind, Callable[[Query, Selection, int], Query]] = {
    "capped_pages": _cap,
    "cursor": _behind_cursor,
    "page_token": _at_token,
    "clamps_offset": _clamp,
    "ignores_offset": _begin,
}
_AFTER: dict[UnkindKind, Callable[[Listed, int], None]] = {
    "short_page": _shorten,
    "empty_page": _empty,
    "ignores_offset": _lead_on,
    "link_cycle": _lead_in_a_cycle,
    "cursor": _lead_by_cursor,
    "page_token": _lead_by_token,
    "links_elsewhere": _lead_elsewhere,
    "long_link": _lengthen_link,
    "no_next": _lead_nowhere,
    "over_claimed_total": _claim_more,
    "no_total": _leave_total_out,
    "many_records": _crowd,
    "null_list": _have_no_list,
    "missing_list": _leave_all_out,
}
