"""Coverage of a collection by pages that were read at different moments, in an order that never changes. Pure.

A page shows everything between its first and its last record at its moment. A record that existed throughout, and is
not in it, is not between them. So pages whose spans leave no gap hold every record that existed throughout, whatever
was inserted or deleted while they were read.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import NamedTuple

from agents.ports import LedgerLine

_BEGIN, _END = "", "\U0010ffff"  # before and behind every position


class Span(NamedTuple):
    """Positions (`after`, `to`] are covered. `start` is the offset of its first record when it was read."""

    after: str
    to: str
    start: int


class Gap(NamedTuple):
    """Nobody has read what is behind `after` and not behind `before`; None: the beginning, and the end."""

    after: str | None
    before: str | None


def spans(lines: Iterable[LedgerLine]) -> list[Span]:
    """What each page covers, in order. A page without positions covers nothing, unless it is the whole collection."""
    found: list[Span] = []
    for line in lines:
        extent = line.extent
        begins, is_empty = extent.start == 0, extent.last is None
        if is_empty and not (begins and line.is_last):
            continue
        after = _BEGIN if begins else extent.first or _BEGIN
        to = _END if line.is_last else extent.last or _BEGIN
        if after < to:
            found.append(Span(after, to, extent.start or 0))
    return sorted(found)


def first_gap(covered: Sequence[Span]) -> Gap | None:
    """The first range that no page covers. None: there is none."""
    reached = _BEGIN
    for span in covered:
        if span.after > reached:
            return Gap(_outer(reached), span.after)
        reached = max(reached, span.to)
    return None if reached == _END else Gap(_outer(reached), None)


def offset_of(covered: Sequence[Span], position: str, size: int) -> int:
    """About where a record stood when the pages, of `size` records each, were read: right to half a page, and better
    where positions are numbers."""
    before = bisect_right(covered, position, key=attrgetter("after"))
    if before == 0:
        return 0
    span = covered[before - 1]
    share = 1.0 if position >= span.to else _share(span.after, position, span.to)
    return span.start + round(share * (size - 1))


def _share(low: str, position: str, high: str) -> float:
    """How far between two others a position is."""
    if position == low:
        return 0.0
    if not (low.isdecimal() and position.isdecimal() and high.isdecimal()):
        return 0.5
    return (int(position) - int(low)) / (int(high) - int(low))


def _outer(position: str) -> str | None:
    return None if position == _BEGIN else position
