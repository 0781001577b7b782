"""Enumeration of one collection: whether the pages that were read of it leave a gap, and the repair of each gap.

A gap is where the source moved between the reading of two pages. It is closed by reading once more around it; what is
closed stays closed, whatever moves later. So the number of repairs is about that of the moves that hit a boundary.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from agents.activities.coverage import Gap, Span, first_gap, spans
from agents.activities.gap_search import GapSearch
from agents.activities.layout import Layout
from agents.activities.links import open_end
from agents.activities.pages import Page, Pages, within
from agents.ports import Cut, LedgerLine, Parent
from topics.command import NO_COUNTS, Counts
from topics.errors import Retryable

REPAIRS_MIN, REPAIRS_PER_PAGE_MAX = 100, 2  # so many repairs are possible; then completeness is not proven


@dataclass(slots=True)
class Enumeration:
    """A collection's ledger lines by number, those of repairs (negative ones) included. `counts` are the repairs'
    that were made here."""

    pages: Pages
    layout: Layout
    lines: dict[int, LedgerLine]
    parent: Parent | None = None
    counts: Counts = field(default=NO_COUNTS)

    async def repair(self, must_stop: Callable[[], bool]) -> bool:
        """Close every gap that can be closed; False if time is up before that. At least one page is read."""
        search = GapSearch(self.layout.size, self._last_repair())
        while (gap := self._gap()) is not None and self.repairs < self._repairs_max():
            if self.counts.pages and must_stop():
                return False
            search = await self._repair(gap, search.of(gap))
        return True

    @property
    def repairs(self) -> int:
        return sum(number < 0 for number in self.lines)

    @property
    def boundaries(self) -> int:
        """How many boundaries between two pages there are, and were compared."""
        return max(len(spans(self.lines.values())) - 1, 0) if self.layout.overlap else 0

    def proven_by(self) -> str:
        """How it is known that the pages hold every record that existed throughout; empty if nobody can say that."""
        if len(self.lines) == 1 and all(line.extent.start == 0 and line.is_last for line in self.lines.values()):
            return "one page is the whole collection"
        if self.layout.stable and open_end(self.lines.values()) is None:
            return f"the links are stable: {self.layout.stable}"
        if self.layout.overlap and self._stray() is None and self._gap() is None:
            return "all boundaries between pages meet"
        return ""

    def unproven(self) -> str:
        """Why nobody can say that; empty if it is proven."""
        if self.proven_by():
            return ""
        if self.layout.stable:
            return "a page was lost, and the links of the others do not lead from the first to the last"
        if not self.layout.overlap:
            return "the manifest names no order of the records that never changes, so the pages cannot be compared"
        gap = self._gap()
        if gap is None:
            return self._stray() or ""
        return f"{_between(gap)} the pages still do not meet after {self.repairs} repairs: the source moves too fast"

    def _gap(self) -> Gap | None:
        """The first gap that reading once more may close."""
        return first_gap(spans(self.lines.values())) if self.layout.overlap and not self._stray() else None

    def _stray(self) -> str | None:
        for number, line in sorted(self.lines.items()):
            if line.extent.start is None:
                return f"the link to page {number} names no offset, so its page cannot be compared with the one before"
            if line.extent.last is None and line.counts.records + line.counts.rejected:
                return f"the records of page {number} are not in the order that the manifest names"
        return None

    def _last_repair(self) -> Span | None:
        """As far as the ledger still has it."""
        number = min(self.lines, default=0)
        extent = self.lines[number].extent if number < 0 else None
        if extent is None or extent.first is None or extent.start is None:
            return None
        return Span(extent.first, max(extent.first, extent.last or extent.first), extent.start)

    def _repairs_max(self) -> int:
        return REPAIRS_MIN + REPAIRS_PER_PAGE_MAX * (len(self.lines) - self.repairs)

    async def _repair(self, gap: Gap, search: GapSearch) -> GapSearch:
        """Read the page that should hold the records on both sides of the gap."""
        start = search.start(spans(line for line in self.lines.values() if line.page > 0))
        cut = Cut(1, gap.after, gap.before) if start else Cut(0, gap.after, gap.before)
        number = min(0, min(self.lines, default=0)) - 1
        page = await self.pages.fetch(number, self.layout.at(start), self.layout, self.parent, cut=lambda: cut)
        await self._commit(within(page, gap.after, gap.before))
        return search.having_read(start, page.body.first, page.body.last)

    async def _commit(self, page: Page) -> None:
        outcome = await self.pages.commit(page)
        line = page.line(outcome)
        if line is None:
            raise Retryable("another fetcher repairs the same run: its pages are compared again")
        self.lines[page.number] = line
        self.counts = self.counts + outcome.counts


def _between(gap: Gap) -> str:
    if gap.after is None:
        return "at the beginning"
    return f"behind record {_shown(gap.after)}" if gap.before else f"between record {_shown(gap.after)} and the end"


def _shown(position: str) -> str:
    return "/".join(part.lstrip("0") or "0" for part in position.split("\x1f"))
