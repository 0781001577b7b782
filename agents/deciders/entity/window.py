"""The window of leases: which units go out next, how many at a time, and when the entity is asked for again."""

import msgspec

from agents.concurrency import UNITS_PER_LEASE
from manifests.delta import is_walked
from manifests.entity import Entity
from tables.kinds.entity import LEASES_OUT_MAX, EntityState, Lease, Mode
from topics.kinds.entity import PageDone
from topics.kinds.sync import DELTA

FIRST_UNITS = 32  # nothing is known yet; a fetcher ends a lease by itself when its time is up
LEASE_TARGET_MS = 1_000  # a lease is as many units as took about this long
LEASE_GROWTH_MAX = 8  # a lease is at most so many times as large as the one before
LEASE_UNITS_MAX = 500
PARENTS_PER_LEASE_MAX = 100
LEASE_DEADLINE_MS = 120_000  # a lease that reported nothing for so long is sent again


def mode_of(entity: Entity, type_: str) -> Mode:
    """Pages that are addressed by number are leased side by side; pages that name each other one after the other.

    So are those of a list that is read down to what is known.
    """
    is_walk = type_ == DELTA and is_walked(entity)
    return "fan-out" if entity.paging.style == "offset" and entity.under is None and not is_walk else "chain"


def fill(state: EntityState) -> EntityState:
    """With as many leases out as may be; with the closing one, when all units were reported."""
    while (lease := _next(state)) is not None:
        state = state.leasing(*lease)
    return state if state.leases else state.leasing((state.last_unit or 0) + 1, 1, state.cursor, closing=True)


def _next(state: EntityState) -> tuple[int, int, str | None] | None:
    """First unit, units and cursor of the next lease; None if none may go out now."""
    is_chained = state.mode == "chain" or state.last_unit is None
    if len(state.leases) >= (1 if is_chained else LEASES_OUT_MAX):
        return None
    if state.last_unit is None:
        return state.next_unit, state.size, state.cursor
    if state.next_unit > state.last_unit:
        return None
    return state.next_unit, min(state.size, state.last_unit - state.next_unit + 1), None


def next_size(state: EntityState, done: PageDone, entity: Entity | None) -> int:
    """Units of the next lease: as many as took LEASE_TARGET_MS, growing step by step.

    Side by side never fewer than a lease works on at once, or a slow API would be asked for one page after the other.
    """
    if not done.units:
        return state.size
    fitting = done.units * LEASE_TARGET_MS // max(done.elapsed_ms, 1)
    most = LEASE_UNITS_MAX if entity is None or entity.under is None else PARENTS_PER_LEASE_MAX
    least = UNITS_PER_LEASE if state.mode == "fan-out" else 1
    return max(least, min(fitting, state.size * LEASE_GROWTH_MAX, most))


def lease_rest(state: EntityState, lease: Lease, done: PageDone) -> EntityState:
    """With what is left of a lease as a lease of its own; without units that nobody claims to be there, if none is out
    behind them."""
    first, units = lease.first + done.units, lease.units - done.units
    if state.mode == "fan-out" and lease.end == state.next_unit:
        units = min(units, (state.total_units or lease.end) - first + 1)
        state = msgspec.structs.replace(state, next_unit=first)
    return state.leasing(first, max(units, 1), done.next_cursor)


def with_deadline(state: EntityState, at: int) -> EntityState:
    """With the deadline of whatever comes first: a retry, or the leases that are out. A pause may last for hours."""
    deadline = at + LEASE_DEADLINE_MS
    due = min((lease.resume_at or deadline for lease in state.leases), default=deadline)
    return msgspec.structs.replace(state, due=due)
