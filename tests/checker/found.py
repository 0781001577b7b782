"""What an invariant found: how much it looked at, what is wrong, and what is worth counting. Knows no invariant."""

from msgspec import Struct

SENTENCES_MAX = 100  # of one invariant; further ones are only counted


class Found(Struct):
    """Filled by one invariant. `figures` say what is no violation but should be known."""

    looked_at: int = 0
    violations: list[str] = []
    more_violations: int = 0
    figures: dict[str, int] = {}
    skipped: str = ""

    def wrong(self, sentence: str) -> None:
        if len(self.violations) < SENTENCES_MAX:
            self.violations.append(sentence)
        else:
            self.more_violations += 1

    def count(self, figure: str, amount: int = 1) -> None:
        self.figures[figure] = self.figures.get(figure, 0) + amount
