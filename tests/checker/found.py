"""What an invariant found: how much it looked at, what is wrong, and what is worth counting. Knows no invariant."""

from dataclasses import dataclass, field

SENTENCES_MAX = 100  # of one invariant; further ones are only counted


@dataclass(frozen=True, slots=True)
class Violation:
    """An invariant that does not hold, and where."""

    invariant: str
    sentence: str


@dataclass(slots=True)
class Found:
    """Filled by one invariant. `figures` say what is no violation but should be known."""

    looked_at: int = 0
    violations: list[str] = field(default_factory=list)
    more: int = 0
    figures: dict[str, int] = field(default_factory=dict)
    skipped: str = ""

    def wrong(self, sentence: str) -> None:
        if len(self.violations) < SENTENCES_MAX:
            self.violations.append(sentence)
        else:
            self.more += 1

    def count(self, figure: str, amount: int = 1) -> None:
        self.figures[figure] = self.figures.get(figure, 0) + amount
