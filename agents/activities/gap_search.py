"""The search for a gap: at which offset the records on both sides of it stand now, after the source has moved. Pure."""

from dataclasses import dataclass, replace

from agents.activities.coverage import Gap, Span, offset_of


@dataclass(frozen=True, slots=True)
class GapSearch:
    """What is known of the way to a gap. `last` is the page that was read last, as it was then.

    `low` and `high` are offsets of pages that ended before the gap, and that began behind it.
    """

    size: int
    last: Span | None = None
    gap: Gap | None = None
    low: int | None = None
    high: int | None = None

    def of(self, gap: Gap) -> "GapSearch":
        return self if gap == self.gap else GapSearch(self.size, self.last, gap)

    def start(self, read: list[Span]) -> int:
        """Where to read next. `read` are the pages that were read first of all, in order."""
        if self.low is not None and self.high is not None and self.high - self.low > 1:
            return (self.low + self.high) // 2
        assert self.gap is not None
        after, before, last = self.gap.after, self.gap.before, self.last
        # From the side of the gap that is nearer to the last page: on that side, records are counted in full.
        is_behind = before is not None and (last is None or after is None or last.after > after)
        anchor = (before if is_behind else after) or ""
        lead = self.size * 3 // 4 if is_behind else self.size // 2
        if last is not None and last.after <= anchor <= last.to:
            return max(offset_of([last], anchor, self.size) - lead, 0)
        moved = offset_of(read, last.after, self.size) - last.start if last else 0
        return max(offset_of(read, anchor, self.size) - lead - moved, 0)

    def having_read(self, start: int, first: str | None, to: str | None) -> "GapSearch":
        """A page from offset `start` on showed records from `first` to `to`; None: it is beyond the end."""
        if first is None or to is None:
            earlier = self.last._replace(start=self.last.start - self.size) if self.last else None
            return replace(self, last=earlier, high=start)
        found = replace(self, last=Span(first, to, start))
        if self.gap is not None and self.gap.after is not None and to <= self.gap.after:
            return replace(found, low=start)
        if self.gap is not None and self.gap.before is not None and first >= self.gap.before:
            return replace(found, high=start)
        return found
