"""Who has called lately: whether it is worth a moment's wait for others to share a trip to the database with."""

from collections.abc import Callable

LATELY_SECONDS = 0.2
FEW = 8  # runs: among fewer, the wait costs each of them more than sharing saves the database


class Company:
    """The runs that called within LATELY_SECONDS. Whoever waits for its API's rate limit soon is none of them.

    Size: the runs that call within that time, which their leases in hand bound. Times are seconds that never go back.
    """

    def __init__(self, time: Callable[[], float]) -> None:
        self._time = time
        self._called: dict[str, float] = {}  # by run, the one that has been silent for longest first

    def called(self, run: str) -> None:
        self._called.pop(run, None)
        self._called[run] = self._time()

    def count(self) -> int:
        """How many may call soon; among few, only the one who asks."""
        until = self._time() - LATELY_SECONDS
        while self._called and self._called[first := next(iter(self._called))] < until:
            del self._called[first]
        return len(self._called) if len(self._called) >= FEW else 1
