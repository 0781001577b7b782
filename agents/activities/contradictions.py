"""Contradictions of a page: with itself, or with the page in front of it. Pure.

Neither an empty page nor a missing link ends a collection that has more records by its own word, and a page that shows
again what was read before must not be read for ever. What contradicts itself is asked for again; if it stays so, its
entity fails with the sentence from here.
"""

from agents.activities.layout import Address, Layout
from agents.ledger import Extent
from agents.ports import PageBody
from manifests.entity import Body


def contradiction(body: PageBody, address: Address, layout: Layout, front: Extent | None) -> str | None:
    """In words, with the figures. `front` is the page in front of this one, if it is known.

    Of stable links it is enough that none leads back (agents.activities.chain).
    """
    return _of_itself(body, address, layout) or (_of_front(body, layout, front) if front else None)


def has_more(body: PageBody, address: Address, layout: Layout, api: Body) -> bool:
    """Whether a page follows: it links to one; or, where pages have numbers, the total is beyond this page, or the
    page is full and nothing on it says that it is the last: the API names no next pages at all, or has left out the
    total that it names."""
    if body.next is not None:
        return True
    if layout.is_linked or address.start is None:
        return False
    is_open = api.next is None or (api.total is not None and body.total is None)
    return _is_beyond(body, address) or (is_open and body.records >= layout.size)


def _of_itself(body: PageBody, address: Address, layout: Layout) -> str | None:
    total, start = body.total, address.start
    place = f"at offset {start:,}" if start is not None else "behind its link"
    if not body.records and body.next is None and start is not None and _is_beyond(body, address):
        return f"it has no records {place}, and says that there are {total:,} in all"
    if not body.records and body.next is not None and not layout.is_linked:
        return f"it has no records {place}, and names a next page"
    if layout.is_linked and body.next is None and start is not None and _is_beyond(body, address):
        return f"it names no next page after {body.records:,} records {place}, and says that there are {total:,} in all"
    is_unordered = body.first is None or not layout.overlap
    if total is not None and start is not None and body.records and start >= total and is_unordered:
        return f"it has {body.records:,} records {place}, and says that there are only {total:,} in all"
    return None


def _of_front(body: PageBody, layout: Layout, front: Extent) -> str | None:
    if body.next is None or body.last is None or front.last is None or layout.stable:
        return None
    if layout.is_ordered:
        is_behind = body.last > front.last
    else:
        is_behind = (body.first, body.last) != (front.first, front.last) or _is_pushed_back(body, front)
    if is_behind:
        return None
    return "its records do not come behind those of the page before: does the API know the parameter that asks for it?"


def _is_pushed_back(body: PageBody, front: Extent) -> bool:
    """A whole page of records has come in front of a list in no order since the page before was read."""
    return body.total is not None and front.total is not None and body.total - front.total >= body.records


def _is_beyond(body: PageBody, address: Address) -> bool:
    """The total is beyond the page."""
    return body.total is not None and body.total > (address.start or 0) + body.records
