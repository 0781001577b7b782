"""State of an entity's run: which leases are out, how far it got, what it waits for. Total: no transition raises.

Its size does not depend on how many pages there are: at most LEASES_OUT_MAX leases and a handful of numbers.
"""

from typing import Literal

import msgspec

from topics.command import Counts, RunOutcome
from topics.ids import derive_id, run_id
from topics.kinds import entity
from topics.kinds.entity import FetchError, PageDone

EntityStatus = Literal["fetching", "finishing", "done", "failed", "cancelled"]
Mode = Literal["fan-out", "chain"]

LEASES_OUT_MAX = 4

TRANSITIONS: dict[EntityStatus, tuple[EntityStatus, ...]] = {
    "fetching": ("finishing", "done"),
    "finishing": ("done", "failed", "cancelled"),
    "done": (),
    "failed": (),
    "cancelled": (),
}


class Lease(msgspec.Struct, frozen=True, array_like=True):
    """Units [first, first + units) are out to a fetcher, or wait until `resume_at` (Unix ms) to be sent again.

    `closing`: none are; the fetcher completes the run and closes it. `pauses`: how many of the attempts ended because
    the API asked for a pause.
    """

    number: int
    first: int
    units: int
    cursor: str | None = None
    attempt: int = 1
    resume_at: int = 0
    pauses: int = 0
    closing: bool = False

    @property
    def end(self) -> int:
        return self.first + self.units


class EntityState(msgspec.Struct, frozen=True, omit_defaults=True, tag="entity", tag_field="kind"):
    """A run of one entity.

    `next_unit` is the first unit never leased; `last_unit`, once known, the last one there is; `size` how many units
    the next lease takes. `outcome` is what the run is finishing with, `close_attempt` the attempt at closing it in the
    database, `close_at` (Unix ms) when the next one begins, 0 while one is out. Counts are of committed pages.
    `page_size`: of the API's pages, if it is not the manifest's. `landmark`: the fingerprint of the link behind unit
    `landmark_unit`, replaced whenever twice as many units are done. `unproven`: why the run may lack a record.
    `verify`: it stores no row.
    """

    org: str
    adapter: str
    entity: str
    type: str
    mode: Mode
    parent: str
    parent_run: int
    run: int
    started_at: int
    status: EntityStatus = "fetching"
    outcome: RunOutcome = "done"
    reason: str = ""
    error: FetchError | None = None
    error_reason: str = ""
    ended_at: int = 0
    due: int = 0
    leases: tuple[Lease, ...] = ()
    next_lease: int = 1
    next_unit: int = 1
    size: int = 1
    cursor: str | None = None
    total_units: int | None = None
    last_unit: int | None = None
    units: int = 0
    pages: int = 0
    records: int = 0
    rejected: int = 0
    fenced: int = 0
    close_attempt: int = 1
    close_at: int = 0
    page_size: int | None = None
    landmark: str | None = None
    landmark_unit: int = 0
    unproven: str = ""
    verify: bool = False

    @property
    def key(self) -> str:
        return entity.KEY.key(self.org, self.adapter, self.entity, self.type)

    @property
    def run_id(self) -> str:
        return run_id(self.key, self.run)

    @property
    def trace(self) -> str:
        """The run whose trace this one belongs to: the main sync's."""
        return run_id(self.parent, self.parent_run)

    @property
    def has_ended(self) -> bool:
        return not TRANSITIONS[self.status]

    @property
    def counts(self) -> Counts:
        return Counts(self.pages, self.records, self.rejected)

    def lease(self, number: int, attempt: int, first: int | None) -> Lease | None:
        """The lease that is out under this number and attempt, from this unit on (None: not said)."""
        asked = (number, attempt)
        return next(
            (one for one in self.leases if (one.number, one.attempt) == asked and first in (None, one.first)), None
        )

    def leasing(self, first: int, units: int, cursor: str | None = None, closing: bool = False) -> "EntityState":
        """With one more lease out."""
        lease = Lease(self.next_lease, first, units, cursor, closing=closing)
        return msgspec.structs.replace(
            self, leases=(*self.leases, lease), next_lease=self.next_lease + 1, next_unit=max(self.next_unit, lease.end)
        )

    def without(self, lease: Lease) -> "EntityState":
        return msgspec.structs.replace(self, leases=tuple(one for one in self.leases if one.number != lease.number))

    def replacing(self, lease: Lease) -> "EntityState":
        """The lease of the same number changed."""
        leases = tuple(lease if one.number == lease.number else one for one in self.leases)
        return msgspec.structs.replace(self, leases=leases)

    def anew(self, run: int, size: int) -> "EntityState":
        """The same entity for the same parent, from the beginning, under a number that the database will take."""
        return EntityState(
            self.org, self.adapter, self.entity, self.type, self.mode, self.parent, self.parent_run, run,
            self.started_at, size=size, fenced=self.fenced + 1, verify=self.verify,
        )  # fmt: skip

    def with_result(self, lease: Lease, done: PageDone, size: int) -> "EntityState":
        """The lease is back: count what it committed; where the next begins and the source ends is known anew."""
        after = msgspec.structs.replace(
            self.without(lease),
            units=self.units + done.units,
            pages=self.pages + done.pages,
            records=self.records + done.records,
            rejected=self.rejected + done.rejected,
            size=size,
            total_units=done.total_units if done.total_units is not None else self.total_units,
            page_size=done.page_size or self.page_size,
            unproven=self.unproven or done.unproven,
        )
        if done.error or lease.closing:
            return after
        if self.mode == "chain":
            following = lease.first + done.units
            ended = following - 1 if done.end else None
            after = msgspec.structs.replace(after, cursor=done.next_cursor, next_unit=following, last_unit=ended)
            return after._with_landmark(following)
        return after._after_fan_out_page(lease, done)

    def _with_landmark(self, unit: int) -> "EntityState":
        """A chain that repeats itself meets a landmark before it is three times as long as what it repeats."""
        if self.cursor is None or unit < 2 * self.landmark_unit:
            return self
        return msgspec.structs.replace(self, landmark=derive_id(self.cursor), landmark_unit=unit)

    def _after_fan_out_page(self, lease: Lease, done: PageDone) -> "EntityState":
        """Pages read by number: the total is only a claim, the end is where a page says that none follows."""
        reached = lease.first + done.units - 1
        if done.end:
            return msgspec.structs.replace(self, last_unit=reached)
        last = max(self.last_unit or 0, done.total_units or 0, reached + 1)
        after = msgspec.structs.replace(self, last_unit=last)
        rest = lease.end - 1 - reached
        if lease.end == self.next_unit:  # nothing is out behind it: what nobody claims to be there is left for later
            rest = min(rest, last - reached)
            after = msgspec.structs.replace(after, next_unit=reached + 1)
        return after.leasing(reached + 1, rest) if rest > 0 else after
