"""The report of an experiment: lines while it runs, and a table of its faults at the end."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass
class FaultReport:
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
class Report:
    """Printed as it grows."""

    faults: list[FaultReport] = field(default_factory=list)
    began: float = 0.0

    def begin(self) -> None:
        self.began = asyncio.get_running_loop().time()

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time() - self.began

    def log(self, text: str) -> None:
        print(f"{self.now:7.1f} s  {text}", flush=True)

    def table(self) -> str:
        head = f"{'fault':<42} {'lasted':>7} {'MTTR':>7} {'since':>7}  verdict"
        rows = [
            f"{fault.name:<42} {fault.lasted:>6.1f}s {_seconds(fault.mttr_healed)} {_seconds(fault.mttr_injected)}  "
            f"{fault.verdict}{' (beside ' + fault.beside + ')' if fault.beside else ''}"
            for fault in self.faults
        ]
        return "\n".join([head, *rows, "MTTR: from the healing to the next committed page; since: from the injection"])


def append_report(path: Path, report: Report, facts: dict[str, object], problems: Sequence[str]) -> None:
    """One line of JSON more."""
    line = {**facts, "problems": list(problems), "faults": [asdict(fault) for fault in report.faults]}
    with path.open("a") as file:
        file.write(json.dumps(line) + "\n")


def _seconds(value: float | None) -> str:
    return f"{value:>6.1f}s" if value is not None else f"{'-':>7}"
