"""Deletes: rows that a reconciliation has not seen, how that is confirmed, and what the database does with them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from agents.ledger import Comparison
from agents.ports import Parent, RunRef, Sink
from manifests.entity import Adapter, Entity


@dataclass(frozen=True, slots=True)
class Candidate:
    """A row that may be gone at the source. `raw` is its record as it was read last; `parent` is the row that it stands
    under, None at the top level."""

    key: str
    raw: str
    parent: Parent | None = None


@dataclass(frozen=True, slots=True)
class Missing:
    """The rows of an organisation that an open run has not seen, and what is known of them.

    `rows` are all that the organisation has, `checked` those that the API was asked for, `existing` those of them that
    it has. `unchecked`: the next ones to ask for, of a sample if there are many. `witness`: a row that the run has
    seen. `has_unkeyed`: a record without a key was read, which may be any of them.
    """

    rows: int
    found: int
    checked: int
    existing: int
    has_unkeyed: bool
    unchecked: tuple[Candidate, ...] = ()
    witness: Candidate | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """What the API said of a candidate when it was asked for at `at`."""

    key: str
    is_gone: bool
    at: datetime


@dataclass(frozen=True, slots=True)
class Sweep:
    """What is to happen to the rows that `run` has not seen. `hold`: why nobody but a person may delete them."""

    run: RunRef
    adapter: Adapter
    entity: Entity
    pages: int
    hold: str = ""


class DeletingSink(Sink, Protocol):
    """The database of reconciliations. Each method is one transaction, safe to repeat; errors as of Sink."""

    async def find_missing(self, sweep: Sweep, sample: int, limit: int) -> Missing:
        """Note the rows that the open run has not seen, and that were read before it was opened. Under parents: of
        those whose lists it has read, or whose rows are deleted. `sample`: so many of them are to be checked at most;
        `limit` of those are returned."""

    async def note_checks(self, run: RunRef, checks: Sequence[Check]) -> None:
        """Keep what the API said of each."""

    async def sweep(self, sweep: Sweep) -> Comparison | None:
        """Delete the rows that were found and do not exist, and what the manifest says of those below them; or hold
        them. A run that only verifies reports them. Rows that were read again meanwhile stay.

        None, and nothing happens: the run is not open, or its ledger has not so many pages as `sweep` says.
        """

    async def compare(self, run: RunRef, reason: str) -> Comparison:
        """What the run has seen. `reason`: why nothing that it has not seen was looked for."""
