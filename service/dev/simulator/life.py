"""Life of an organisation: records come, change, are merged and go by themselves, at given rates.

When each change happens is given by the rates, everything else by the seed. As with moves, they are done when the
organisation is next looked at. A late change is done when it shows, with the time at which it happened: neither a list
nor the record's own address has it before.
"""

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from heapq import merge
from math import inf
from random import Random

from service.dev.simulator.changes import Changes, Prepared
from service.dev.simulator.rates import ChangeKind, LifeSpec, times
from service.dev.simulator.store import Organisation
from service.dev.simulator.writes import Writes
from topics.errors import Rejected


@dataclass(frozen=True, slots=True)
class Late:
    """A change that happened and shows later; both are seconds since the start."""

    happened: float
    shows: float
    kind: ChangeKind
    prepared: Prepared | None


class Life:
    """It began at `started` (monotonic seconds) or `started_at`. `done`: the changes of each kind, by entity."""

    def __init__(self, spec: LifeSpec, org: Organisation, started: float, started_at: datetime) -> None:
        self.done: dict[str, Counter[str]] = {}
        self._spec = spec
        self._org = org
        self._started = started
        self._started_at = started_at
        self._random = Random(f"{spec.seed}/{spec.org}/life")
        self._changes = Changes(org, spec, self._random)
        self._late: deque[Late] = deque()
        self._due: Iterator[tuple[float, ChangeKind]] = merge(
            *(times(kind, rate) for kind, rate in spec.by_kind.items())
        )
        self._next = next(self._due, None)

    @property
    def has_ended(self) -> bool:
        return self._due_at == inf and not self._late

    @property
    def _due_at(self) -> float:
        """Seconds from the start to the next change; without end, if there is none."""
        is_over = self._next is None or self._next[0] > (self._spec.seconds or inf) or self._org.lives.is_full
        return inf if self._next is None or is_over else self._next[0]

    def advance(self, now: float) -> bool:
        """Do what was due until `now`. Whether there was anything."""
        until, is_changed = now - self._started, False
        while (at := min(self._due_at, self._late[0].shows if self._late else inf)) <= until:
            is_changed = True
            if self._late and self._late[0].shows <= at:
                self._show(self._late.popleft())
            else:
                self._happen()
        return is_changed

    def finish(self, now: float) -> None:
        """What happened and has not shown yet shows now: from here on the source is at rest."""
        while self._late:
            self._show(replace(self._late.popleft(), shows=now - self._started))

    def _happen(self) -> None:
        assert self._next is not None, "nothing was due"
        seconds, kind = self._next
        self._next = next(self._due)
        if self._spec.late_seconds and self._random.random() < self._spec.late_share:
            prepared = self._changes.prepare() if kind == "insert" else None
            self._late.append(Late(seconds, seconds + self._spec.late_seconds, kind, prepared))
        else:
            self._change(kind, Writes(self._org, self._at(seconds)), None)

    def _show(self, late: Late) -> None:
        if late.kind == "insert" and late.prepared is None:
            return
        self._change(late.kind, Writes(self._org, self._at(late.shows), self._at(late.happened)), late.prepared)

    def _change(self, kind: ChangeKind, writes: Writes, prepared: Prepared | None) -> None:
        """A change that cannot be any more is none: what a late record refers to may be gone."""
        try:
            entity = self._changes.make(kind, writes, prepared)
        except Rejected:
            return
        if entity is not None:
            self.done.setdefault(entity, Counter())[kind] += 1

    def _at(self, seconds: float) -> datetime:
        return self._started_at + timedelta(seconds=seconds)
