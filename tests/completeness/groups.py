"""Groups of runs that have paging, limit and movement in common, and what is measured of each."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

SLOW = 1.0  # inserts, and deletes, a second, at which every run must prove itself
OVER_LEAST_MAX = 0.05  # more requests than pages, at that


@dataclass(frozen=True, slots=True)
class Paging:
    """`adapter` by its style; `kinds` are the simulator's, in which its organisations' listings are unkind."""

    name: str
    adapter: str
    kinds: tuple[str, ...] = ()


PAGINGS = {
    one.name: one
    for one in (
        Paging("offset", "offset"),
        Paging("link", "link"),
        Paging("cursor", "link", ("cursor",)),
        Paging("token", "link", ("page_token",)),
    )
}


@dataclass(frozen=True, slots=True)
class Group:
    """`moves_per_second`: so many inserts, and so many deletes. `is_limited`: by the API, as Planning Center does."""

    paging: Paging
    is_limited: bool
    moves_per_second: float

    @property
    def name(self) -> str:
        return f"{self.paging.name}, {self.moves_per_second:g}/s, {'limited' if self.is_limited else 'unlimited'}"


@dataclass(frozen=True, slots=True)
class Run:
    """One full sync as it went. `least` requests would have read all pages once; `proof` is None where the database
    has none. What a run missed counts if it says that it is done."""

    group: Group
    org: str
    status: str
    reason: str
    seconds: float
    requests: int
    least: int
    throughout: int
    missed: int
    unexplained: int
    proof: dict[str, Any] | None

    @property
    def is_proven(self) -> bool:
        return self.proof is not None and bool(self.proof["complete"])

    def problems(self) -> list[str]:
        name = f"{self.group.name}, {self.org}"
        found = [] if self.status == "done" else [f"{name}: {self.status}: {self.reason}"]
        if self.missed:
            claim = "says that it is complete" if self.is_proven else "is done"
            found.append(f"{name}: {claim} and lacks {self.missed} of {self.throughout} records")
        if self.unexplained:
            found.append(f"{name}: {self.unexplained} rows of records that did not exist meanwhile")
        if self.group.moves_per_second <= SLOW and self.proof is not None:
            found += self._shortcomings(name)
        return found

    def _shortcomings(self, name: str) -> list[str]:
        """What a run may be excused for only where its source moves fast."""
        found = [] if self.is_proven else [f"{name}: could not prove itself: {self.proof}"]
        if self.requests > self.least * (1 + OVER_LEAST_MAX):
            found.append(f"{name}: {self.requests} requests, with {self.least} pages")
        return found


HEAD = (
    f"{'group':<28} {'runs':>5} {'done':>5} {'lossy':>6} {'missed':>7} {'proven':>7} {'unproven':>9} "
    f"{'repairs':>8} {'requests':>9} {'over least':>11} {'seconds':>8}"
)


def table(runs: Sequence[Run]) -> str:
    """A line for each group: medians of requests and seconds, sums of the others."""
    groups = dict.fromkeys(run.group for run in runs)
    lines = [_line(group, [run for run in runs if run.group == group]) for group in groups]
    return "\n".join([HEAD, *lines, *_reasons(runs)])


def facts(runs: Iterable[Run]) -> list[dict[str, Any]]:
    """For a report: each run as JSON."""
    return [{**asdict(run), "group": run.group.name} for run in runs]


def _line(group: Group, runs: Sequence[Run]) -> str:
    over = median((run.requests / run.least - 1) * 100 for run in runs)
    unproven = sum(run.proof is not None and not run.is_proven for run in runs)
    repairs = sum(int(run.proof.get("repairs", 0)) for run in runs if run.proof)
    return (
        f"{group.name:<28} {len(runs):>5} {sum(run.status == 'done' for run in runs):>5} "
        f"{sum(run.missed > 0 for run in runs):>6} {sum(run.missed for run in runs):>7} "
        f"{sum(run.is_proven for run in runs):>7} {unproven:>9} {repairs:>8} "
        f"{median(run.requests for run in runs):>9g} {over:>10.1f}% {median(run.seconds for run in runs):>8.1f}"
    )


def _reasons(runs: Iterable[Run]) -> list[str]:
    """Why runs say that they could not prove themselves, most frequent first."""
    reasons = Counter(str(run.proof.get("reason", "")) for run in runs if run.proof and not run.is_proven)
    return [f"unproven, {count} times: {reason}" for reason, count in reasons.most_common()]
