"""Named instants in our own code at which a test, or a person who doubts, makes a process fail. Off, they cost nothing.

A hook asks `failpoints.armed` before it calls `reach`. Each point fires once in the life of a process, at its Nth
arrival; a process that is started again with the same points counts anew.
"""

import asyncio
import logging
import os
import re
import signal
from dataclasses import dataclass
from typing import Literal, cast, get_args

from topics.errors import Rejected

log = logging.getLogger("sluice.failpoints")

Action = Literal["crash", "stall", "drop"]

INSTANTS: dict[str, str] = {
    "after_fetch": "a page was fetched and is not committed yet",
    "after_db_commit": "pages are in the database and nothing is reported yet",
    "after_report": "a result was published and its command's offset is not committed yet",
    "after_store": "a batch is in RocksDB and not published to the changelog yet",
    "after_changelog": "a batch was published to the changelog and what follows from it was not",
    "after_flush": "the broker has confirmed everything and no source offset is committed yet",
}
MESSAGES: dict[str, str] = {
    "report": "a fetcher is about to publish a result",
    "emit": "a worker is about to publish a command that follows from a decision",
}
POINTS = INSTANTS | MESSAGES
POINTS_MAX = 16  # in one setting
ARRIVALS_MAX = 1_000_000
_FORM = re.compile(r"(\w+)=(\w+)(?:@([1-9][0-9]{0,6}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Failpoint:
    """At the `arrival`th time that the point is reached, `action`."""

    point: str
    action: Action
    arrival: int = 1

    def __str__(self) -> str:
        return f"{self.point}={self.action}@{self.arrival}"


def parse_failpoints(text: str) -> tuple[Failpoint, ...]:
    """`after_db_commit=crash@3,report=drop@2`. Rejected says what is wrong with it, and what there is."""
    found = tuple(_parsed(part.strip()) for part in text.split(",")) if text.strip() else ()
    if len(found) > POINTS_MAX:
        raise Rejected(f"{len(found)} failpoints are too many: at most {POINTS_MAX} at once")
    return found


def _parsed(part: str) -> Failpoint:
    match = _FORM.fullmatch(part)
    if match is None:
        raise Rejected(f"failpoint {part!r} is not of the form POINT=ACTION@N, such as after_db_commit=crash@3")
    point, action, arrival = match[1], match[2], int(match[3] or 1)
    if point not in POINTS:
        raise Rejected(f"there is no failpoint {point!r}; there are: {', '.join(POINTS)}")
    if action not in get_args(Action):
        raise Rejected(f"failpoint {point} has no action {action!r}; there are: {', '.join(get_args(Action))}")
    if action == "drop" and point not in MESSAGES:
        raise Rejected(f"{point} has no message to drop; points with one: {', '.join(MESSAGES)}")
    if arrival > ARRIVALS_MAX:
        raise Rejected(f"failpoint {point} waits for arrival {arrival}: at most {ARRIVALS_MAX}")
    return Failpoint(point, cast(Action, action), arrival)


class Failpoints:
    """What is armed in this process. `armed` is False for ever unless `arm` was given something."""

    def __init__(self) -> None:
        self.armed = False
        self._waiting: list[Failpoint] = []
        self._arrivals: dict[str, int] = {}

    def arm(self, points: tuple[Failpoint, ...]) -> None:
        """These from now on, and no others; arrivals are counted anew."""
        self.armed = bool(points)
        self._waiting = list(points)
        self._arrivals = {}
        if points:
            log.warning("this process will fail on purpose: %s", ", ".join(map(str, points)))

    async def reach(self, point: str) -> bool:
        """Whether the message at hand is to be swallowed. Does not return where the process crashes or stalls.

        A stall is one coroutine that goes no further; the loop lives on, heartbeats and all, so that nothing but the
        lack of progress gives it away. A process that is frozen as a whole is SIGSTOP's business.
        """
        arrival = self._arrivals[point] = self._arrivals.get(point, 0) + 1
        fired = next((one for one in self._waiting if (one.point, one.arrival) == (point, arrival)), None)
        if fired is None:
            return False
        self._waiting.remove(fired)
        log.warning("failpoint reached: %s", fired)
        if fired.action == "crash":
            os.kill(os.getpid(), signal.SIGKILL)
        if fired.action == "stall":
            await asyncio.get_running_loop().create_future()
        return True


failpoints = Failpoints()
"""The process's own: armed once, by `service.roles`, before anything can reach a point."""
