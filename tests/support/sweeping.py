"""Reconciliations of the sink in memory: what a run has seen, what it misses, and deletes."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from agents.deletes import Candidate, Check, Missing, Sweep
from agents.ledger import Comparison
from agents.ports import PageWrite, RowWrite, RunRef
from manifests.entity import Adapter, Entity

Place = tuple[str, str, str]  # entity, organisation, key


@dataclass
class Decision:
    """What is known of a row that was not seen, and what became of it."""

    place: Place
    state: str = "found"
    check: Check | None = None


@dataclass
class Sweeping:
    """What the reconciliations of a database have seen and decided; `tombstones` say when rows were deleted."""

    seen: dict[str, dict[str, str]] = field(default_factory=dict)  # by run: the difference by key
    decisions: dict[str, dict[str, Decision]] = field(default_factory=dict)  # by run and key
    tombstones: dict[Place, datetime] = field(default_factory=dict)

    def copy(self) -> "Sweeping":
        decisions = {
            run: {key: Decision(one.place, one.state, one.check) for key, one in known.items()}
            for run, known in self.decisions.items()
        }
        return Sweeping({run: dict(keys) for run, keys in self.seen.items()}, decisions, dict(self.tombstones))

    def see(self, page: PageWrite, stored: dict[str, RowWrite]) -> None:
        """Before the page is stored. `stored`: the rows that there are."""
        known = self.seen.setdefault(page.run.id, {})
        for row in page.rows:
            known.setdefault(row.key, _difference(row, stored.get(row.key)))
        for record in page.rejected:
            known.setdefault(record.key, "rejected")

    def candidates(self, run: str, sample: int, limit: int) -> list[Decision]:
        known = sorted(self._of(run), key=lambda one: one.place)
        step = max(-(-len(known) // sample), 1)
        return [one for one in known[::step] if one.state == "found" and one.check is None][:limit]

    def missing(self, run: str, rows: int, sample: int, limit: int, witness: Candidate | None) -> Missing:
        checks = [one.check for one in self._of(run) if one.check is not None]
        unchecked = tuple(Candidate(one.place[2], "") for one in self.candidates(run, sample, limit))
        existing = sum(not check.is_gone for check in checks)
        return Missing(
            rows, len(self._of(run)), len(checks), existing, "" in self.seen.get(run, {}), unchecked, witness
        )

    def note(self, run: str, check: Check) -> None:
        one = self.decisions.get(run, {}).get(check.key)
        if one is not None and one.state == "found":
            one.check = check

    def decide(self, run: str, state: str) -> list[Decision]:
        """Each that was found gets its state; those that exist are kept."""
        for one in self._of(run):
            if one.state == "found":
                one.state = "kept" if one.check is not None and not one.check.is_gone else state
        return [one for one in self._of(run) if one.state == "deleted"]

    def comparison(self, run: RunRef, reason: str) -> Comparison:
        seen = Counter(difference for key, difference in self.seen.get(run.id, {}).items() if key)
        states = Counter(one.state for one in self._of(run.id))
        return Comparison(
            seen=seen.total(),
            new=seen["new"],
            changed=seen["changed"] + seen["invisible"],
            invisible=seen["invisible"],
            missing=states.total() - states["kept"],
            deleted=states["deleted"],
            kept=states["kept"],
            held=states["held"],
            reason=reason,
            verified=run.verify,
        )

    def find(self, run: str, places: Sequence[Place]) -> None:
        """Rows that the run has not seen; those that it has seen since are none any more."""
        known, seen = self.decisions.setdefault(run, {}), self.seen.get(run, {})
        for key in [key for key, one in known.items() if one.state == "found" and key in seen]:
            del known[key]
        for place in places:
            known.setdefault(place[2], Decision(place))

    def _of(self, run: str) -> list[Decision]:
        return list(self.decisions.get(run, {}).values())


def _difference(row: RowWrite, stored: RowWrite | None) -> str:
    if stored is None:
        return "new"
    if row.content_hash == stored.content_hash:
        return "same"
    return "invisible" if row.raw != stored.raw and row.updated_at == stored.updated_at else "changed"


def cascades(adapter: Adapter, entity: Entity) -> list[Entity]:
    """The entities whose rows go with those of this one, directly."""
    every = adapter.entities.values()
    return [one for one in every if one.under and one.under.entity == entity.name and one.under.on_delete == "cascade"]


def state_of(sweep: Sweep) -> str:
    """The state of what a sweep has found."""
    return "reported" if sweep.run.verify else "held" if sweep.hold else "deleted"
