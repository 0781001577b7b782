"""Failed leases: retried after a wait, given up after many attempts, or begun anew where the database knows better."""

import msgspec

from agents.core.retry import LEASE
from agents.deciders.entity.window import FIRST_UNITS, lease_rest
from tables.kinds.entity import EntityState, Lease
from topics.kinds.entity import PageDone

FENCED_MAX = 3  # how often a run may take a newer number; then it fails
PAUSES_MAX = 100  # of a lease that the API asked for; from then on each one counts as an attempt


def is_given_up(lease: Lease, done: PageDone) -> bool:
    """Whether the lease has used its attempts without getting any further."""
    return LEASE.is_exhausted(_counted(lease)) and not done.units and not _is_pause(lease, done)


def retry_later(state: EntityState, lease: Lease, done: PageDone, at: int) -> tuple[EntityState, str]:
    """What is left of the lease backs off; and what happened, in words."""
    wait, is_pause = LEASE.wait_seconds(_counted(lease), done.after_seconds), _is_pause(lease, done)
    if done.units:  # it got further: the rest is a lease of its own, at its first attempt
        after = lease_rest(state, lease, done)
        later = after.leases[-1]
    else:
        after = msgspec.structs.replace(state, leases=(*state.leases, lease))
        later = msgspec.structs.replace(lease, attempt=lease.attempt + 1, pauses=lease.pauses + is_pause)
    after = after.replacing(msgspec.structs.replace(later, resume_at=at + int(wait * 1000)))
    after = msgspec.structs.replace(after, error="retryable", error_reason=done.reason)
    does = "pauses, as it was asked to," if is_pause else "backs off"
    return after, f"unit {later.first} {does} for {wait:.0f} s: {done.reason}"


def _counted(lease: Lease) -> int:
    """The attempt's number without those that ended because the API asked for a pause."""
    return lease.attempt - lease.pauses


def _is_pause(lease: Lease, done: PageDone) -> bool:
    """Whether the API asks for a longer wait than the backoff: such an attempt is not used up."""
    backoff = LEASE.wait_seconds(_counted(lease))
    return LEASE.wait_seconds(_counted(lease), done.after_seconds) > backoff and lease.pauses < PAUSES_MAX


def begin_anew(state: EntityState, done: PageDone, at: int) -> EntityState:
    """The database holds a newer run, or has closed this one: our record is older than the database. The run begins
    anew under a number above all that the database knows: those may be of a time when the broker's clock was ahead."""
    return state.anew(max(state.run + 1, (done.newest or 0) + 1, at), FIRST_UNITS)
