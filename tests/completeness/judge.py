"""Judgement of a copy: the records of its source by their lives, the run by when it began and ended."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

Life = Sequence[float | None]  # birth and death, Unix seconds; None: before the first one, not yet


@dataclass(frozen=True, slots=True)
class Verdict:
    """`throughout`: how many records existed from before the beginning to after the end. `missed`: those of them that
    the copy lacks. `unexplained`: rows of records that did not exist at any time of the run."""

    throughout: int
    missed: tuple[str, ...]
    unexplained: tuple[str, ...]


def judge(lives: Mapping[str, Life], rows: AbstractSet[str], began: float, ended: float) -> Verdict:
    """Of a copy that had no rows when the run began."""
    throughout = {
        id for id, (born, died) in lives.items() if (born is None or born < began) and (died is None or died > ended)
    }
    possible = {
        id for id, (born, died) in lives.items() if (born is None or born <= ended) and (died is None or died >= began)
    }
    return Verdict(len(throughout), tuple(sorted(throughout - rows)), tuple(sorted(rows - possible)))


def at(lives: Mapping[str, Life], time: float) -> int:
    """How many records there were at that time."""
    return sum((born is None or born <= time) and (died is None or died > time) for born, died in lives.values())
