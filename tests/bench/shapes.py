"""What is measured: so many workflows of so many pages, and how many of them a floor runs at a time."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shape:
    """`adapter` is the engine's: bench reads 25 records a page by link, bulk 100 a page by number."""

    name: str
    workflows: int
    pages: int
    concurrency: int
    adapter: str = "bench"
    is_fenced: bool = False  # beside loops with a fence, too

    @property
    def page_size(self) -> int:
        return 100 if self.adapter == "bulk" else 25

    def orgs(self, round_: str) -> list[str]:
        """Organisations that nobody has synced yet."""
        amount = f"r{self.pages * self.page_size}" if self.adapter == "bulk" else f"p{self.pages}"
        return [f"{amount}-{self.name}-{round_}-{number}" for number in range(self.workflows)]


SHAPES = (
    Shape("sequence", workflows=1, pages=1_000, concurrency=1),
    Shape("parallel", workflows=100, pages=25, concurrency=100),
    Shape("start", workflows=1_000, pages=1, concurrency=100),
    Shape("records", workflows=20, pages=50, concurrency=20, adapter="bulk"),
    Shape("fenced", workflows=100, pages=10, concurrency=20, adapter="bulk", is_fenced=True),
)
