"""The winning line of each workflow: the journal's records without those that a newer one put aside. Pure.

The guard (epoch, seq) decides: a lower one is stale, it came from a process that was frozen and loses. A record
of a higher epoch builds on what it knew, so what an older epoch wrote at or above its seq was never seen
by the winner and is put aside too. The same record may be put again, after a crash. What a frozen process wrote behind
the place up to which its successor has read was never seen either: there a workflow may begin a second time.
"""

from collections.abc import Iterator, Sequence

from msgspec import Struct
from msgspec.structs import replace

from tests.checker.entries import Entry

ENDED = {"done", "failed", "cancelled"}
HISTORY_MAX = 16  # so many notable steps a record remembers


class Line(Struct):
    """`wins` are the winning records, by seq; `puts` how often each was put, by seq; `faults` what is wrong already.

    A record that left the table ends a line; the next one begins anew.
    """

    key: str
    wins: list[Entry] = []
    puts: dict[int, int] = {}
    faults: list[str] = []
    stale: int = 0
    aside: int = 0
    again: int = 0
    is_over: bool = False

    def take(self, entry: Entry, unseen: int) -> int:
        """`unseen` is an offset: its writer saw nothing of what others put from there on. The lowest one known now."""
        last = self.wins[-1] if self.wins else None
        if last is None or entry.guard > last.guard:
            unseen = self._win(entry, unseen)
        elif entry.guard < last.guard:
            self.stale += 1
        elif entry.state != last.state:
            self.faults.append(f"{entry.where}: another record has this number, at {last.partition}/{last.offset}")
        else:
            self._repeat(last, entry)
        return unseen

    def end(self, tombstone: Entry) -> None:
        """Its owner takes it out when it has ended; or puts it out (seq 0) where another process had begun it."""
        last = self.wins[-1] if self.wins else None
        if last is not None and last.status not in ENDED and tombstone.seq:
            self.faults.append(f"{last.where}: it was {last.status} when its record was removed")
        self.is_over = True

    def _win(self, entry: Entry, unseen: int) -> int:
        adopted = 0
        while self.wins and (self.wins[-1].seq >= entry.seq or _begins_again(self.wins[-1], entry, unseen)):
            before = self.wins.pop()
            if before.seq == entry.seq and before.state == entry.state:
                adopted = self.puts.get(before.seq, 0)  # put again by a newer epoch
                self.again += 1
            else:
                self.aside += 1
                unseen = min(unseen, before.offset)
            self.puts.pop(before.seq, None)
        self.wins.append(entry)
        self.puts[entry.seq] = adopted + 1
        return unseen

    @property
    def has_forgotten(self) -> bool:
        """Whether a store alone kept so many steps that the history behind them does not name them all."""
        known = zip((0, *(win.seq for win in self.wins)), self.wins, strict=False)
        return any(len(win.history) == HISTORY_MAX and win.history[0].seq > seq + 1 for seq, win in known)

    def _repeat(self, last: Entry, entry: Entry) -> None:
        """Once more, or with a position that a refused message has moved."""
        positions = dict(last.last_offset)
        if any(offset < positions.get(topic, -1) for topic, offset in entry.last_offset):
            self.faults.append(f"{entry.where}: its position in a topic goes back")
        self.wins[-1] = replace(entry, offset=last.offset)
        self.puts[entry.seq] += 1
        self.again += 1


def _begins_again(last: Entry, entry: Entry, unseen: int) -> bool:
    return entry.is_first and entry.epoch > last.epoch and last.offset >= unseen


def lines_of(journal: Sequence[Entry]) -> list[Line]:
    """Every line of every workflow. The journal is in the order of its offsets, partition by partition."""
    lines: list[Line] = []
    current: dict[str, Line] = {}
    unseen: dict[int, dict[int, int]] = {}  # by partition and epoch an offset; a store is handed on with what it lacks
    for entry in journal:
        line = current.get(entry.key)
        if line is None or (line.is_over and not entry.is_tombstone):
            line = current[entry.key] = Line(entry.key)
            lines.append(line)
        if entry.is_tombstone:
            line.end(entry)
            if not entry.seq and line in lines:
                lines.remove(line)  # it never counted
        else:
            known = unseen.setdefault(entry.partition, {})
            before = line.wins[-1].epoch if line.wins else 0
            since = (offset for epoch, offset in known.items() if before < epoch <= entry.epoch)
            known[entry.epoch] = line.take(entry, min(since, default=entry.offset))
    return lines


def newest_of(lines: Sequence[Line]) -> Iterator[Entry]:
    """What is true now: the last winner of each workflow that is still in the table."""
    for line in lines:
        if line.wins and not line.is_over:
            yield line.wins[-1]
