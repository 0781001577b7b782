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
        if self.low is not None and self.high is not None:
            return (self.low + self.high) // 2
        start, step = self._estimate(read), max(self.size // 2, 1)
        start = start if self.low is None else max(start, self.low + step)
        return max(start if self.high is None else min(start, self.high - step), 0)

    def _estimate(self, read: list[Span]) -> int:
        """From the side of the gap that is nearer to the last page: on that side, records are counted in full."""
        assert self.gap is not None
        after, before, last = self.gap.after, self.gap.before, self.last
        is_behind = before is not None and (last is None or after is None or last.after > after)
        anchor = (before if is_behind else after) or ""
        lead = self.size * 3 // 4 if is_behind else self.size // 2
        if last is not None and last.after <= anchor <= last.to:
            return offset_of([last], anchor, self.size) - lead
        moved = offset_of(read, last.after, self.size) - last.start if last else 0
        return offset_of(read, anchor, self.size) - lead - moved

    def having_read(self, start: int, first: str | None, to: str | None) -> "GapSearch":
        """A page from offset `start` on showed records from `first` to `to`; None: it is beyond the end."""
        if first is None or to is None:
            return self._bounded(self.low, start)
        found = replace(self, last=Span(first, to, start))
        if self.gap is not None and self.gap.after is not None and to <= self.gap.after:
            return found._bounded(start, self.high)
        if self.gap is not None and self.gap.before is not None and first >= self.gap.before:
            return found._bounded(self.low, start)
        return found

    def _bounded(self, low: int | None, high: int | None) -> "GapSearch":
        """Bounds with nothing between them are of different moments: what is known of the gap is forgotten."""
        is_empty = low is not None and high is not None and high - low <= 1
        return replace(self, low=None, high=None) if is_empty else replace(self, low=low, high=high)
