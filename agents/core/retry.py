"""Retry policies: how long to wait before the next attempt, and how many there are. Pure."""

from dataclasses import dataclass

ASKED_SECONDS_MAX = 86_400.0  # of a wait that the other side asks for; after a day it is asked again all the same


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential backoff: `first_seconds`, twice that, and so on, at most `longest_seconds`.

    `attempts_max` None: without end.
    """

    first_seconds: float
    longest_seconds: float
    attempts_max: int | None = None

    def wait_seconds(self, attempt: int, asked: float | None = None) -> float:
        """The wait after the attempt of this number, and not less than the other side `asked` for (at most
        ASKED_SECONDS_MAX)."""
        doubled = self.first_seconds * 2.0 ** min(attempt - 1, 30)
        return max(min(doubled, self.longest_seconds), min(asked or 0.0, ASKED_SECONDS_MAX))

    def is_exhausted(self, attempt: int) -> bool:
        return self.attempts_max is not None and attempt >= self.attempts_max


PAGE = RetryPolicy(0.5, 20.0, 6)  # a request for a page, within a lease; then the lease is given back
CONTRADICTION = RetryPolicy(1.0, 8.0, 5)  # a page that contradicts itself: about 15 s, then its entity fails
DATABASE = RetryPolicy(0.5, 8.0, 6)  # a call of the database, within an activity: about 15 s
LEASE = RetryPolicy(5.0, 300.0, 20)  # a lease: about an hour and a quarter of an API that is down
CLOSE_RUN = RetryPolicy(5.0, 300.0, 20)  # closing a run in the database
PUBLISH_STATUS = RetryPolicy(0.5, 10.0)  # the projector has nothing else to do
RESTART = RetryPolicy(0.2, 10.0)  # a process of `sluice dev` that has ended
