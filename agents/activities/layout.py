"""Layout of a collection's pages: at which offset each begins, and by how much it overlaps the one before. Pure."""

import re
from functools import lru_cache

import msgspec
from msgspec.structs import replace

from manifests.entity import Adapter, Entity, LinkPaging

# With two, one record that is deleted between the readings of two pages leaves no gap between them.
OVERLAP = 2
LINK_PATTERNS_MAX = 100  # parameter names whose pattern is kept compiled


class Address(msgspec.Struct, frozen=True):
    """Where a page is read: from the record at `start` on, or by a link. `start` None: the link names no offset.

    Its first `overlap` records are on the page before, too, if nothing has moved.
    """

    start: int | None
    link: str | None = None
    overlap: int = 0


class Layout(msgspec.Struct, frozen=True):
    """Pages of `size` records, each of which begins with the last `overlap` of the page before.

    `is_ordered`: each page shows records behind those of the page before. `parameter` is the name under which a link
    carries an offset. The overlap proves that nothing was missed between two pages (agents.activities.coverage):
    it would prove nothing without an order of the records. `descends`: what is new comes first. `stable`: how it is
    known that links lead past every record.
    """

    size: int
    overlap: int
    parameter: str
    is_linked: bool
    is_ordered: bool
    stable: str | None = None
    descends: bool = False

    def first(self) -> Address:
        return Address(0)

    def numbered(self, page: int) -> Address:
        return self.at((page - 1) * (self.size - self.overlap))

    def at(self, start: int) -> Address:
        return Address(start, None, self.overlap if start else 0)

    def following(self, link: str) -> Address:
        """The page that a link leads to; one record earlier, where pages overlap and the link carries an offset."""
        found = _offset(self.parameter).search(link)
        if found is None or int(found[1]) <= self.overlap:
            return Address(None, link)
        start = int(found[1]) - self.overlap
        return Address(start, f"{link[: found.start(1)]}{start}{link[found.end(1) :]}", self.overlap)

    def pages(self, total: int) -> int:
        """How many pages so many records have; one, if there are none."""
        return max(-(-(total - self.overlap) // (self.size - self.overlap)), 1)

    def as_shown(self, page: int, records: int, is_last: bool) -> "Layout":
        """As the API's first page shows it: that holds no more records than the API puts on a page, whatever it is
        asked for, if it is not the last one."""
        if page != 1 or is_last or not 0 < records < self.size:
            return self
        return replace(self, size=records, overlap=min(self.overlap, records - 1))


def layout_of(adapter: Adapter, entity: Entity, size: int | None) -> Layout:
    """`size`: of the API's pages, where it is known to be another than the manifest's."""
    size = size or entity.paging.size
    order = entity.reads.full.order
    overlap = min(OVERLAP, size - 1) if order is not None else 0
    is_linked = isinstance(entity.paging, LinkPaging)
    descends = order is not None and order.by[0].descending
    stable = entity.paging.stable if isinstance(entity.paging, LinkPaging) else None
    return Layout(size, overlap, adapter.file.parameters.offset, is_linked, order is not None, stable, descends)


@lru_cache(maxsize=LINK_PATTERNS_MAX)
def _offset(parameter: str) -> re.Pattern[str]:
    return re.compile(rf"[?&]{re.escape(parameter)}=([0-9]{{1,15}})(?=&|#|$)")
