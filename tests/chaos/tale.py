"""What happened, told while it happens, and the table at the end."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass
class Told:
    """A fault as it went. Times are seconds: `at` since the start of the run; MTTR to the next committed page."""

    name: str
    what: str
    at: float
    lasted: float = 0.0
    mttr_healed: float | None = None
    mttr_injected: float | None = None
    beside: str = ""
    verdict: str = ""


@dataclass
class Tale:
    """`lines` are all that was said."""

    lines: list[str] = field(default_factory=list)
    faults: list[Told] = field(default_factory=list)
    began: float = 0.0

    def begin(self) -> None:
        self.began = asyncio.get_running_loop().time()

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time() - self.began

    def tell(self, text: str) -> None:
        line = f"{self.now:7.1f} s  {text}"
        self.lines.append(line)
        print(line, flush=True)

    def table(self) -> str:
        head = f"{'fault':<42} {'lasted':>7} {'MTTR':>7} {'since':>7}  verdict"
        rows = [
            f"{told.name:<42} {told.lasted:>6.1f}s {_seconds(told.mttr_healed)} {_seconds(told.mttr_injected)}  "
            f"{told.verdict}{' (beside ' + told.beside + ')' if told.beside else ''}"
            for told in self.faults
        ]
        return "\n".join([head, *rows, "MTTR: from the healing to the next committed page; since: from the injection"])


def append_report(path: Path, tale: Tale, facts: dict[str, object], problems: Sequence[str]) -> None:
    """One line of JSON more."""
    line = {**facts, "problems": list(problems), "faults": [asdict(told) for told in tale.faults]}
    with path.open("a") as file:
        file.write(json.dumps(line) + "\n")


def _seconds(value: float | None) -> str:
    return f"{value:>6.1f}s" if value is not None else f"{'-':>7}"
