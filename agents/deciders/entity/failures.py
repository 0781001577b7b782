"""Failed leases: retried after a wait, given up after many attempts, or begun anew where the database knows better."""

import msgspec

from agents.core.retry import LEASE
from agents.deciders.entity.window import FIRST_UNITS, lease_rest
from tables.kinds.entity import EntityState, Lease
from topics.kinds.entity import PageDone

FENCED_MAX = 3  # how often a run may take a newer number; then it fails


def is_given_up(lease: Lease, done: PageDone) -> bool:
    """Whether the lease has used its attempts without getting any further."""
    return LEASE.is_exhausted(lease.attempt) and not done.units


def retry_later(state: EntityState, lease: Lease, done: PageDone, at: int) -> tuple[EntityState, str]:
    """What is left of the lease backs off; and what happened, in words."""
    wait = LEASE.wait_seconds(lease.attempt, done.after_seconds)
    if done.units:  # it got further: the rest is a lease of its own, at its first attempt
        after = lease_rest(state, lease, done)
        later = after.leases[-1]
    else:
        after = msgspec.structs.replace(state, leases=(*state.leases, lease))
        later = msgspec.structs.replace(lease, attempt=lease.attempt + 1)
    after = after.replacing(msgspec.structs.replace(later, resume_at=at + int(wait * 1000)))
    after = msgspec.structs.replace(after, error="retryable", error_reason=done.reason)
    return after, f"unit {later.first} backs off for {wait:.0f} s: {done.reason}"


def begin_anew(state: EntityState, done: PageDone, at: int) -> EntityState:
    """The database holds a newer run, or has closed this one: our record is older than the database. The run begins
    anew under a number above all that the database knows: those may be of a time when the broker's clock was ahead."""
    return state.anew(max(state.run + 1, (done.newest or 0) + 1, at), FIRST_UNITS)
