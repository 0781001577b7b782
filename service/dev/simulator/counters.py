"""Counters of requests and of pages served: a test proves by them that nothing was fetched twice.

A page is a listing with status 200, identified by its path and its sorted query. With a journal, pages are counted
across restarts: one line each, `organisation TAB entity TAB page TAB time of the request` (Unix seconds).
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from topics.errors import Rejected

PAGES_MAX = 2_000_000  # different pages, counted one by one; further ones are only summed up, and not in the journal
REPEATED_SHOWN_MAX = 1_000
PAGES_SHOWN_MAX = 100_000


@dataclass(slots=True)
class Tally:
    """One entity of one organisation. `outcomes` are statuses, and kinds of faults (`fault:hang`)."""

    outcomes: Counter[str] = field(default_factory=Counter)
    pages: Counter[str] = field(default_factory=Counter)
    unlisted: int = 0

    def report(self, with_pages: bool) -> dict[str, Any]:
        repeated = {page: times for page, times in self.pages.items() if times > 1}
        report: dict[str, Any] = {
            "requests": sum(self.outcomes.values()),
            "outcomes": dict(self.outcomes),
            "pages": len(self.pages),
            "pages_served": self.pages.total() + self.unlisted,
            "pages_repeated": len(repeated),
            "repeated": dict(list(repeated.items())[:REPEATED_SHOWN_MAX]),
        }
        if with_pages:
            report["served"] = dict(list(self.pages.items())[:PAGES_SHOWN_MAX])
        return report


class Counters:
    """`journal`: a file that is read at the start, then appended to."""

    def __init__(self, journal: Path | None = None) -> None:
        self._tallies: dict[tuple[str, str], Tally] = {}
        self._pages = 0
        self._journal = None
        if journal is not None:
            try:
                self._read(journal)
                self._journal = journal.open("ab", buffering=0)
            except OSError as error:
                raise Rejected(f"the journal {journal} cannot be written: {error.strerror}") from None

    def answered(self, org: str, entity: str, outcome: str) -> None:
        """Count a response; `entity` is empty if the path names none."""
        self._tally(org, entity).outcomes[outcome] += 1

    def served(self, org: str, entity: str, page: str, requested_at: datetime) -> None:
        if self._count(org, entity, page) and self._journal is not None:
            self._journal.write(f"{org}\t{entity}\t{page}\t{requested_at.timestamp():.6f}\n".encode())

    def reset(self) -> None:
        """Set all counts to zero, and empty the journal."""
        self._tallies.clear()
        self._pages = 0
        if self._journal is not None:
            self._journal.truncate(0)

    def report(self, org: str | None = None, entity: str | None = None) -> dict[str, Any]:
        """By organisation and entity. Each page with its count is listed if one entity is given."""
        orgs: dict[str, Any] = {}
        for (of_org, of_entity), tally in sorted(self._tallies.items()):
            if org in (None, of_org) and entity in (None, of_entity):
                found = orgs.setdefault(of_org, {"requests": 0, "pages_served": 0, "pages_repeated": 0, "entities": {}})
                report = tally.report(with_pages=entity is not None)
                for total in ("requests", "pages_served", "pages_repeated"):
                    found[total] += report[total]
                found["entities"][of_entity] = report
        return {"orgs": orgs}

    def close(self) -> None:
        if self._journal is not None:
            self._journal.close()

    def _tally(self, org: str, entity: str) -> Tally:
        found = self._tallies.get((org, entity))
        if found is None:
            found = self._tallies[(org, entity)] = Tally()
        return found

    def _count(self, org: str, entity: str, page: str) -> bool:
        tally = self._tally(org, entity)
        if page not in tally.pages:
            if self._pages >= PAGES_MAX:
                tally.unlisted += 1
                return False
            self._pages += 1
        tally.pages[page] += 1
        return True

    def _read(self, journal: Path) -> None:
        """A last line without a line feed was cut off by a kill: it is removed."""
        if not journal.exists():
            return
        whole = 0
        with journal.open("rb") as lines:
            for line in lines:
                parts = line.decode("utf-8", "replace").rstrip("\n").split("\t")
                if line.endswith(b"\n"):
                    whole += len(line)
                    if len(parts) == 4:
                        self._count(*parts[:3])
        with journal.open("ab") as file:
            file.truncate(whole)
